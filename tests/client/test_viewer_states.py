"""The viewer against scenes: what it says while it waits, and what it makes of rare messages."""

import time
from collections.abc import Callable, Iterator
from math import cos, radians, sin
from threading import Event
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Locator, expect

from tests.client.playhouse import READY, WELCOME, Player, coded, playing
from tests.client.visitor import Viewer
from worldrt.protocol import replies
from worldrt.protocol.packets import Coding, Flag, Header, Kind, Packet, Plan, Recalled, View
from worldrt.protocol.terms import Close, State

Visit = Callable[..., Viewer]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Opens the viewer on a scene."""
    left: list[Any] = []

    def open_on(scene: Callable[[Player], None], fragment: str = "", **options: Any) -> Viewer:
        stage = playing(scene)
        home = stage.__enter__()
        viewer = Viewer(browser, home, **options)
        left.append((viewer, stage))
        return viewer.enter(fragment)

    yield open_on
    for viewer, stage in left:
        viewer.close()
        stage.__exit__(None, None, None)


def said(viewer: Viewer) -> Locator:
    return viewer.page.locator("#card")


def begin(player: Player) -> None:
    player.hear("hello")
    player.tell(WELCOME)
    player.hear("start")
    player.tell(READY)


def test_waiting_is_told(visit: Visit) -> None:
    steps = [Event() for _ in range(3)]

    def scene(player: Player) -> None:
        player.hear("hello")
        player.tell(replies.Queue(position=3, waiting=5, eta_s=130.0))
        steps[0].wait()
        player.tell(replies.Queue(position=1, waiting=3, eta_s=None))
        steps[1].wait()
        player.tell(WELCOME)
        player.hear("start")
        player.tell(replies.Loading(stage="Reading the start", fraction=0.25, eta_s=7.2))
        steps[2].wait()
        player.tell(READY)
        player.frame(0, 128)
        player.linger()

    viewer = visit(scene)
    expect(said(viewer)).to_contain_text("You are number 3 of 5. A place is free in 2 min")
    expect(viewer.page.locator("#pill")).to_have_text("waiting")
    steps[0].set()
    expect(said(viewer)).to_contain_text("You are next.")
    steps[1].set()
    expect(said(viewer)).to_contain_text("Reading the start")
    expect(said(viewer)).to_contain_text("about 7 s to go")
    assert viewer.page.locator("#card-bar").evaluate("bar => bar.value") == 0.25
    steps[2].set()
    expect(said(viewer)).to_be_hidden()
    viewer.until("s.frame === 0 && s.state === 'live'")
    assert viewer.complaints == []


def test_a_server_that_says_nothing_is_not_waited_for_in_silence(visit: Visit) -> None:
    def scene(player: Player) -> None:
        begin(player)
        player.frame(0, 128)
        silent.wait(20)

    silent = Event()
    viewer = visit(scene)
    viewer.until("s.frame === 0")
    expect(viewer.page.locator("#pill")).to_have_text("no word for 3 s", timeout=10_000)
    silent.set()


def test_a_token_is_asked_for_and_kept_out_of_the_address(visit: Visit) -> None:
    tokens = []

    def scene(player: Player) -> None:
        tokens.append(player.hear("hello")["token"])
        if tokens[-1] != "right":
            player.close(Close.TOKEN, "This server asks for a token.")
            return
        player.tell(WELCOME)
        player.hear("start")
        player.tell(READY)
        player.linger()

    viewer = visit(scene, "#token=wrong")
    expect(said(viewer)).to_contain_text("This server asks for a token.")
    assert "wrong" not in viewer.page.url
    viewer.page.locator("#token").fill("right")
    viewer.page.locator("#token-form button").click()
    viewer.until("s.state === 'live'")
    assert tokens == ["wrong", "right"]


@pytest.mark.parametrize(
    "code, why",
    [
        (Close.IDLE, "No key was pressed for 600 s."),
        (Close.LIFETIME, "A session lasts 7200 s at most."),
        (Close.REPLACED, "The session goes on in another connection."),
        (Close.FAULT, "A block could not be made."),
    ],
)
def test_the_end_is_told_in_the_servers_words(visit: Visit, code: Close, why: str) -> None:
    comes = []

    def scene(player: Player) -> None:
        comes.append(player.hear("hello")["resume"])
        player.tell(WELCOME)
        player.tell(READY)
        if len(comes) == 1:
            player.close(code, why)
        player.linger()

    viewer = visit(scene)
    expect(said(viewer)).to_contain_text(why)
    viewer.page.locator("#again").click()
    viewer.until("s.state === 'live'")
    assert comes == ["", ""]  # what has ended is not taken up again


def test_a_session_is_taken_up_after_reloading(visit: Visit) -> None:
    comes = []

    def scene(player: Player) -> None:
        comes.append(player.hear("hello")["resume"])
        player.tell(WELCOME)
        player.tell(READY)
        player.linger()

    viewer = visit(scene)
    viewer.until("s.state === 'live'")
    viewer.page.reload()
    viewer.until("s.state === 'live'")
    assert comes == ["", "way-back"]


def test_a_prompt_has_receipts(visit: Visit) -> None:
    def scene(player: Player) -> None:
        begin(player)
        prompt = player.hear("prompt")
        assert prompt["text"] == "a canyon at dusk"
        player.tell(replies.Receipt(id=prompt["id"], state=State.RECEIVED))
        player.tell(replies.Receipt(id=prompt["id"], state=State.APPLIED, chunk=17))
        player.linger()

    viewer = visit(scene)
    viewer.until("s.state === 'live'")
    viewer.page.locator("#prompt").fill("a canyon at dusk")
    viewer.page.locator("#text button").click()
    receipt = viewer.page.locator("#prompt-receipt")
    expect(receipt).to_have_text("prompt: applied from block 17")


def test_the_plan_and_the_recalled_frames_are_drawn(visit: Visit) -> None:
    red = np.zeros((40, 60, 3), np.uint8)
    red[..., 0] = 200

    def scene(player: Player) -> None:
        begin(player)
        plan = Plan(left=-6.0, far=4.0, cell=0.2, keyframes=[(0.0, 0.0, 0.0), (1.0, 1.0, 1.5)])
        head = Header(kind=Kind.PLAN, coding=Coding.PNG, epoch=1, width=60, height=40)
        player.show(Packet(header=head, picture=coded(red, "PNG"), notes=plan))
        recalled = Recalled(frames=[3, 141], poses=[(0.0, 0.0, 0.0), (1.0, 1.0, 1.5)], used=True)
        head = Header(kind=Kind.RECALLED, epoch=1, width=60, height=40)
        player.show(Packet(header=head, picture=coded(red), notes=recalled))
        player.frame(0, 128)
        player.linger()

    viewer = visit(scene)
    expect(viewer.page.locator("#recalled-title")).to_have_text(
        "Recalled into the context: frames 3, 141"
    )
    viewer.page.wait_for_function(
        """() => {
            const map = document.getElementById("map");
            const [x, y] = [map.width / 2, 0.55 * map.height];
            const [r, g, b] = map.getContext("2d").getImageData(x, y, 1, 1).data;
            const strip = document.getElementById("strip");
            const [s] = strip.getContext("2d").getImageData(30, 20, 1, 1).data;
            return r > 150 && g < 80 && b < 80 && s > 150;
        }"""
    )


def test_a_new_walk_leaves_no_trail_from_the_old_one(visit: Visit) -> None:
    def scene(player: Player) -> None:
        begin(player)
        player.frame(0, 128)
        player.hear("start")
        player.tell(replace(READY, epoch=2))
        time.sleep(0.5)  # reports go on meanwhile
        player.frame(0, 128, View((1.0, 0.0, 0.0, 0.0), (4.0, 0.0, 0.0), 1.2), epoch=2)
        player.linger()

    viewer = visit(scene)
    viewer.until("s.frame === 0")
    viewer.page.keyboard.press("Backspace")
    viewer.until("s.epoch === 2")
    viewer.page.wait_for_timeout(500)
    blue = viewer.page.evaluate(
        """() => {
            const map = document.getElementById("map");
            const { data } = map.getContext("2d").getImageData(0, 0, map.width, map.height);
            const seen = (i) => data[i + 2] > data[i] + 60;
            return [...Array(data.length / 4).keys()].filter((i) => seen(4 * i)).length;
        }"""
    )
    assert blue < 20  # a few are in the letters of its scale


def test_frames_are_acknowledged_as_they_are_shown(visit: Visit) -> None:
    acks: list[dict[str, Any]] = []

    def scene(player: Player) -> None:
        begin(player)
        for index in range(8):
            player.frame(index, 100)
        while not acks or acks[-1]["frame"] < 7:
            acks.append(player.hear("ack"))
        player.linger()

    viewer = visit(scene)
    viewer.until("s.frame === 7")
    viewer.page.wait_for_timeout(200)
    frames = [ack["frame"] for ack in acks]
    assert frames == sorted(set(frames)) and frames[-1] == 7
    assert acks[-1]["buffered"] == 0
    assert acks[-1]["dropped"] + viewer.stats()["shown"] == 8
    times = [ack["shown_us"] for ack in acks]
    # A burst is shown at the world's pace; a tick that comes late shortens the first wait.
    assert times[-1] - times[0] > 0.6e6 * (frames[-1] - frames[0]) / 15


def test_a_stale_epoch_is_not_shown_and_a_cutover_hurries(visit: Visit) -> None:
    def scene(player: Player) -> None:
        begin(player)
        player.tell(replace(READY, epoch=2))
        for index in range(4):
            player.frame(index, 10)  # of epoch 1
        for index in range(40):
            flags = Flag.CUTOVER if index == 36 else Flag(0)
            player.frame(index, 200, epoch=2, flags=flags)
        player.linger()

    viewer = visit(scene)
    viewer.until("s.frame === 39")
    # All but three of the 36 older frames give way, and those that were shown until it came.
    stats = viewer.stats()
    assert stats["epoch"] == 2 and 20 <= stats["dropped"] < 38


def test_inputs_are_whole_states_with_a_heartbeat(visit: Visit) -> None:
    heard: list[dict[str, Any]] = []

    def scene(player: Player) -> None:
        begin(player)
        player.frame(0, 128)
        while True:
            heard.append(player.hear("input"))

    viewer = visit(scene)
    viewer.until("s.frame === 0")
    viewer.page.keyboard.down("w")
    viewer.page.keyboard.down("ArrowRight")
    viewer.page.wait_for_timeout(500)
    viewer.page.keyboard.up("ArrowRight")
    viewer.page.keyboard.up("w")
    viewer.page.wait_for_timeout(400)
    count = len(heard)
    assert [message["seq"] for message in heard] == list(range(1, count + 1))
    keys = [message["keys"] for message in heard]
    assert keys[0] == 1 and keys[-1] == 0 and 129 in keys
    assert keys.count(129) >= 4  # 500 ms of a beat each 50 ms, on a machine that is busy
    assert keys.count(0) == 1  # and none when nothing is held


def test_the_mouse_turns_by_a_running_sum(visit: Visit) -> None:
    heard: list[dict[str, Any]] = []

    def scene(player: Player) -> None:
        begin(player)
        player.frame(0, 128)
        while True:
            heard.append(player.hear("input"))

    viewer = visit(scene)
    viewer.until("s.frame === 0")
    viewer.page.locator("#world").click(position={"x": 512, "y": 300})
    viewer.page.wait_for_function("() => document.pointerLockElement !== null")
    for _ in range(5):
        viewer.page.evaluate(
            """() => document.dispatchEvent(
                new MouseEvent("mousemove", { movementX: 50, movementY: -10 }))"""
        )
        viewer.page.wait_for_timeout(60)
    viewer.page.wait_for_timeout(200)
    looks = [message["look"] for message in heard]
    assert looks[-1] == pytest.approx([30, 6])  # 0.12 degrees a pixel, right and up
    assert all(a[0] <= b[0] for a, b in zip(looks, looks[1:], strict=False))
    # The picture has turned by what the world will turn, and comes back when the mouse does.
    viewer.until("s.reprojection.yaw > 20")


def test_a_frame_that_has_caught_up_is_shown_as_it_is(visit: Visit) -> None:
    """A turn that the world has made is not made a second time."""
    turned = View((cos(radians(10)), 0.0, sin(radians(10)), 0.0), (0.0, 0.0, 0.0), 1.2)

    def scene(player: Player) -> None:
        begin(player)
        player.frame(0, 128)
        player.hear("input")
        time.sleep(0.5)
        for index in range(1, 8):
            player.frame(index, 128, turned)
        player.linger()

    viewer = visit(scene)
    viewer.until("s.frame === 0")
    viewer.page.keyboard.down("l")
    viewer.page.wait_for_timeout(200)
    viewer.page.keyboard.up("l")
    viewer.until("s.reprojection.moved")
    viewer.until("s.frame === 7 && !s.reprojection.moved")
    assert viewer.complaints == []


def test_a_page_for_fingers_has_sticks(visit: Visit) -> None:
    heard: list[dict[str, Any]] = []

    def scene(player: Player) -> None:
        begin(player)
        player.frame(0, 128)
        while True:
            heard.append(player.hear("input"))

    viewer = visit(scene, has_touch=True, is_mobile=True)
    viewer.until("s.frame === 0")
    expect(viewer.page.locator("#sticks")).to_be_visible()
    viewer.page.evaluate(
        """() => {
            const stick = document.getElementById("stick-move");
            stick.setPointerCapture = () => {};
            const box = stick.getBoundingClientRect();
            const at = { pointerId: 1, clientX: box.left + box.width / 2, clientY: box.top };
            stick.dispatchEvent(new PointerEvent("pointerdown", at));
            setTimeout(() => stick.dispatchEvent(new PointerEvent("pointerup", at)), 200);
        }"""
    )
    viewer.page.wait_for_timeout(500)
    axes = [message["axes"] for message in heard]
    assert [0, 1, 0, 0] in axes and axes[-1] == [0, 0, 0, 0]
    assert all(message["keys"] == 0 for message in heard)


def test_less_motion_is_honoured(visit: Visit) -> None:
    def scene(player: Player) -> None:
        begin(player)
        player.frame(0, 128)
        player.linger()

    viewer = visit(scene, reduced_motion="reduce")
    viewer.until("s.frame === 0")
    assert viewer.stats()["reprojection"]["on"] is False


def test_the_command_that_renders_a_walk_again_is_copied(visit: Visit) -> None:
    def scene(player: Player) -> None:
        begin(player)
        player.linger()

    viewer = visit(scene)
    viewer.until("s.state === 'live'")
    viewer.page.keyboard.press("?")
    viewer.page.locator("#help-close").click()
    expect(viewer.page.locator("#help")).to_be_hidden()
    copied = viewer.page.evaluate(
        """() => new Promise((resolve) => {
            navigator.clipboard.writeText = async (text) => resolve(text);
            document.querySelector("#tool-copy").click();
        })"""
    )
    assert copied == "worldrt replay out/sessions/walk.jsonl --out walk.mp4"


def test_a_gamepad_walks_and_looks(visit: Visit) -> None:
    heard: list[dict[str, Any]] = []

    def scene(player: Player) -> None:
        begin(player)
        player.frame(0, 128)
        while True:
            heard.append(player.hear("input"))

    viewer = visit(scene)
    viewer.until("s.frame === 0")
    viewer.page.evaluate(
        """async () => {
            const buttons = Array.from({ length: 16 }, () => ({ pressed: false }));
            const pad = { index: 0, connected: true, axes: [0, -1, 0.1, 0], buttons };
            navigator.getGamepads = () => [pad];
            dispatchEvent(new Event("gamepadconnected"));
            const wait = (ms) => new Promise((done) => setTimeout(done, ms));
            await wait(300);
            pad.axes = [0, 0.1, 1, 0];
            buttons[12].pressed = true;
            await wait(300);
            pad.axes = [0, 0, 0, 0];
            buttons[12].pressed = false;
            await wait(300);
        }"""
    )
    states = [(message["keys"], message["axes"]) for message in heard]
    # A stick that rests a little aside does nothing.
    assert (0, [0, 1, 0, 0]) in states and (1, [0, 0, 1, 0]) in states
    assert states[-1] == (0, [0, 0, 0, 0])


def test_a_browser_that_is_too_old_is_told_so(visit: Visit) -> None:
    viewer = visit(lambda player: None)
    viewer.page.add_init_script("delete HTMLCanvasElement.prototype.transferControlToOffscreen")
    viewer.page.reload()
    expect(said(viewer)).to_contain_text("a newer one can.")
    expect(viewer.page.locator("#pill")).to_have_text("ended")
