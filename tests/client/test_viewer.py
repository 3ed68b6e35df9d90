"""The viewer in a real browser, walking the shipped world on a live server."""

import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from tests.client.live import Wire, live
from tests.client.visitor import SLOW_S, Viewer
from worldrt.protocol.packets import Coding
from worldrt.server.app import App
from worldrt.server.house import Serving


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[App, Wire]]:
    with live(Serving(port=0, places=4, context_frames=8)) as pair:
        yield pair


@pytest.fixture(scope="module")
def wire(served: tuple[App, Wire]) -> Wire:
    return served[1]


def home(wire: Wire) -> str:
    return f"http://127.0.0.1:{wire.port}/"


@pytest.fixture
def open_viewer(browser: Browser, wire: Wire) -> Iterator[Callable[..., Viewer]]:
    """Opens viewers; each must have had nothing to complain about."""
    opened: list[Viewer] = []

    def open_one(**options: Any) -> Viewer:
        opened.append(Viewer(browser, home(wire), **options))
        return opened[-1]

    yield open_one
    wire.let_go()
    for viewer in opened:
        viewer.close()


@pytest.fixture(scope="module")
def walker(browser: Browser, wire: Wire) -> Iterator[Viewer]:
    """A viewer that walks; tests leave it walking with no key held."""
    viewer = Viewer(browser, home(wire)).enter()
    viewer.walk_on()
    yield viewer
    assert viewer.complaints == []
    viewer.close()


def position(viewer: Viewer) -> np.ndarray:
    return np.array(viewer.stats()["pose"]["position"])


def picture(viewer: Viewer) -> np.ndarray:
    """The world on the screen, without what lies over it."""
    viewer.page.evaluate("document.body.classList.add('bare')")
    shot = viewer.page.locator("#world").screenshot(type="png")
    viewer.page.evaluate("document.body.classList.remove('bare')")
    return np.asarray(Image.open(io.BytesIO(shot)).convert("L"), np.float32)[60:]


def test_the_page_loads_and_frames_move(walker: Viewer) -> None:
    walker.walk_on(9)
    stats = walker.stats()
    assert stats["state"] == "live" and stats["fps"] > 0 and stats["shown"] > 2
    assert picture(walker).std() > 5
    expect(walker.page.locator("#pill")).to_have_text("live")
    expect(walker.page.locator("#name")).to_have_text("maze")


def test_w_walks_and_its_cap_lights_up_at_once(walker: Viewer) -> None:
    before = position(walker)
    cap = walker.page.locator(".cap[data-action=W]")
    # The echo needs no server: it is there before the next frame could be.
    lit = walker.page.evaluate(
        """() => {
            dispatchEvent(new KeyboardEvent("keydown", { code: "KeyW" }));
            return document.querySelector(".cap[data-action=W]").dataset.held;
        }"""
    )
    assert lit == "true"
    walker.page.wait_for_function(
        f"() => Math.hypot(worldrt.stats().pose.position[0] - {before[0]},"
        f"worldrt.stats().pose.position[2] - {before[2]}) > 0.3",
        timeout=1000 * SLOW_S,
    )
    walker.page.evaluate("dispatchEvent(new KeyboardEvent('keyup', { code: 'KeyW' }))")
    expect(cap).to_have_attribute("data-held", "false")
    assert walker.page.evaluate("worldrt.samples.length") > 0
    sample = walker.page.evaluate("worldrt.samples.at(-1)")
    total = (sample["shown_us"] - sample["t_us"]) / 1000
    assert all(value >= 0 for value in sample["stages"].values())
    # The parts are measured apart, on two clocks, and give the whole.
    assert sum(sample["stages"].values()) == pytest.approx(total, rel=0.25, abs=60)


def test_losing_the_focus_lets_go_of_all_keys(walker: Viewer) -> None:
    walker.page.keyboard.down("l")
    walker.page.keyboard.down("w")
    assert walker.page.locator(".cap[data-held=true]").count() == 2
    walker.page.evaluate("dispatchEvent(new Event('blur'))")
    assert walker.page.locator(".cap[data-held=true]").count() == 0
    # Two blocks on, nothing moves any more.
    walker.walk_on(12)
    before = position(walker)
    walker.walk_on(8)
    assert np.allclose(position(walker), before)
    walker.page.keyboard.up("l")
    walker.page.keyboard.up("w")


def test_typing_moves_nobody(walker: Viewer) -> None:
    walker.page.locator("#seed").focus()
    walker.page.keyboard.down("w")
    assert walker.page.locator(".cap[data-held=true]").count() == 0
    walker.page.keyboard.up("w")
    walker.page.locator("#world").focus()


def test_a_switch_has_receipts(walker: Viewer) -> None:
    walker.page.locator("#modes [data-mode=flush]").click()
    receipt = walker.page.locator("#scene-receipt")
    expect(receipt).to_have_text(re.compile(r"^flush: applied from block \d+$"), timeout=30_000)


def test_a_world_without_text_says_so(walker: Viewer) -> None:
    expect(walker.page.locator("#text")).to_be_hidden()
    expect(walker.page.locator("#no-text")).to_contain_text("takes no text")
    # A client that asks all the same is told why not.
    walker.page.evaluate("document.querySelector('#text').hidden = false")
    walker.page.locator("#prompt").fill("a canyon at dusk")
    walker.page.locator("#text button").click()
    receipt = walker.page.locator("#prompt-receipt")
    expect(receipt).to_contain_text("takes no text", timeout=30_000)
    expect(receipt).to_have_attribute("data-state", "refused")
    walker.page.evaluate("document.querySelector('#text').hidden = true")
    walker.page.locator("#world").focus()


def test_the_policy_is_changed_while_walking(walker: Viewer) -> None:
    walker.page.locator("#policy").select_option("window")
    receipt = walker.page.locator("#policy-receipt")
    expect(receipt).to_have_text(re.compile(r"^window: applied from block \d+$"), timeout=30_000)
    walker.walk_on(5)
    assert walker.page.locator("#policy").input_value() == "window"
    walker.page.locator("#world").focus()


def test_the_cache_and_the_timeline_are_drawn(walker: Viewer) -> None:
    amounts = walker.page.locator(".bar .amount")
    walker.page.wait_for_function(
        "() => /[1-9]\\d* tokens/.test(document.querySelector('#bars').textContent)"
    )
    assert amounts.count() == 5
    assert inked(walker, "timeline") > 50


def test_the_map_is_drawn(walker: Viewer) -> None:
    walker.page.wait_for_function(
        "() => /points/.test(document.querySelector('#points').textContent)"
    )
    assert inked(walker, "map") > 50


def inked(viewer: Viewer, canvas: str) -> int:
    """Pixels of a canvas that are drawn on."""
    return viewer.page.evaluate(
        """(id) => {
            const canvas = document.getElementById(id);
            const all = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return all.data.filter((value, i) => i % 4 === 3 && value > 0).length;
        }""",
        canvas,
    )


def test_pause_and_step(walker: Viewer) -> None:
    walker.page.keyboard.press("Space")
    walker.until("s.state === 'paused'")
    walker.page.wait_for_timeout(1500)
    frame = walker.stats()["frame"]
    walker.page.wait_for_timeout(700)
    assert walker.stats()["frame"] == frame
    walker.page.keyboard.press("Period")
    walker.until(f"s.frame > {frame}")
    walker.page.wait_for_timeout(700)
    assert walker.stats()["frame"] <= frame + 4
    walker.page.keyboard.press("Space")
    walker.walk_on(5)


def test_a_recording_is_downloaded(walker: Viewer) -> None:
    walker.page.keyboard.press("v")
    expect(walker.page.locator("#tool-record")).to_have_attribute("aria-pressed", "true")
    walker.walk_on(12)
    with walker.page.expect_download(timeout=30_000) as download:
        walker.page.keyboard.press("v")
    with av.open(str(download.value.path())) as video:
        frames = sum(1 for _ in video.decode(video=0))
    assert download.value.suggested_filename.endswith(".mp4")
    assert frames >= 8


def test_a_screenshot_is_the_generated_frame(walker: Viewer) -> None:
    with walker.page.expect_download(timeout=30_000) as download:
        walker.page.keyboard.press("p")
    assert Image.open(download.value.path()).size == (128, 96)


def test_h264_is_shown_where_the_page_is_secure(walker: Viewer) -> None:
    walker.page.locator("#panel-view").evaluate("panel => { panel.open = true; }")
    for codec, coding in (("h264", Coding.H264), ("jpeg", Coding.JPEG)):
        walker.page.locator("#codec").select_option(codec)
        walker.until(f"s.coding === {coding.value}")
        walker.walk_on(5)
        assert picture(walker).std() > 5
    walker.page.locator("#world").focus()


def test_reprojection_turns_the_picture_while_frames_are_held_back(
    walker: Viewer, wire: Wire
) -> None:
    walker.walk_on(4)
    wire.hold()
    walker.page.wait_for_timeout(1000)
    frame, before = walker.stats()["frame"], picture(walker)
    walker.page.evaluate("dispatchEvent(new KeyboardEvent('keydown', { code: 'KeyL' }))")
    walker.until("s.reprojection.yaw > 10")
    assert walker.stats()["reprojection"]["response"] <= 2  # the next drawing, or the one after it
    expect(walker.page.locator("#badge")).to_have_text("reprojected")
    after = picture(walker)
    assert walker.stats()["frame"] == frame
    # What lay right of the middle lies left of where it was.
    shifts = [matching(before, after, by) for by in range(0, 301, 20)]
    assert int(np.argmin(shifts)) > 0
    walker.page.evaluate("dispatchEvent(new KeyboardEvent('keyup', { code: 'KeyL' }))")
    walker.page.keyboard.press("r")
    walker.until("!s.reprojection.moved")
    expect(walker.page.locator("#badge")).to_have_text("generated")
    walker.page.keyboard.press("r")
    wire.let_go()
    walker.walk_on(4)


def matching(before: np.ndarray, after: np.ndarray, by: int) -> float:
    """How ill the middle of `before`, moved left by some pixels, fits `after`."""
    wide = before.shape[1]
    left, right = wide // 4, wide - wide // 4
    return float(
        np.abs(
            before[:, left + by : right + by][:, : right - left - 300]
            - after[:, left:right][:, : right - left - 300]
        ).mean()
    )


def test_a_cut_connection_is_taken_up_again(walker: Viewer, wire: Wire) -> None:
    walker.walk_on(4)
    before = walker.stats()
    wire.cut()
    walker.until("s.state === 'reconnecting'")
    walker.until(f"s.state === 'live' && s.epoch > {before['epoch']}")
    walker.walk_on(4)
    # It is the same walk: it goes on where it was.
    assert walker.stats()["frame"] > before["frame"]
    assert np.linalg.norm(position(walker) - before["pose"]["position"]) < 2
    walker.complaints = [text for text in walker.complaints if "WebSocket" not in text]


def test_a_spectator_sees_and_changes_nothing(walker: Viewer, open_viewer: Callable) -> None:
    token = walker.page.evaluate(
        """() => new Promise((resolve) => {
            navigator.clipboard.writeText = async (text) => resolve(text);
            document.querySelector("#tool-watch").click();
        })"""
    )
    watcher = open_viewer().enter(token.partition("/")[2].partition("/")[2].partition("/")[2])
    watcher.walk_on()
    expect(watcher.page.locator("#panel-walk")).to_be_hidden()
    expect(watcher.page.locator("#tool-pause")).to_be_hidden()
    before = position(walker)
    watcher.page.keyboard.down("w")
    walker.walk_on(12)
    watcher.page.keyboard.up("w")
    assert np.allclose(position(walker), before)
    assert watcher.stats()["reprojection"]["on"] is False
    assert watcher.complaints == []


def test_another_version_is_refused_in_a_sentence(open_viewer: Callable) -> None:
    viewer = open_viewer()

    def old(route: Any) -> None:
        response = route.fetch()
        route.fulfill(response=response, body=response.text().replace("worldrt.v1", "worldrt.v0"))

    viewer.context.route("**/protocol.js", old)
    viewer.enter()
    viewer.until("s.state === 'ended'")
    expect(viewer.page.locator("#card-title")).to_have_text("This page is out of date")
    expect(viewer.page.locator("#card-text")).to_contain_text("worldrt.v0")


def test_nothing_is_fetched_from_elsewhere(walker: Viewer) -> None:
    assert len(walker.requests) > 10
    hosts = {url.split("/")[2] for url in walker.requests if not url.startswith("blob:")}
    assert hosts == {walker.home.split("/")[2]}


def test_the_policy_of_content_is_kept_by_the_browser(walker: Viewer) -> None:
    """A page that needed inline scripts or styles would complain under it."""
    response = walker.page.request.get(walker.home)
    assert "default-src 'self'" in response.headers["content-security-policy"]
    assert "unsafe" not in response.headers["content-security-policy"]
    blocked = walker.page.evaluate(
        """() => new Promise((resolve) => {
            addEventListener("securitypolicyviolation", (event) =>
                resolve(event.violatedDirective));
            const script = document.createElement("script");
            script.textContent = "window.intruder = true";
            document.body.append(script);
        })"""
    )
    assert blocked.startswith("script-src")
    walker.complaints = [text for text in walker.complaints if "inline script" not in text]


def test_keys_are_bound_anew_and_kept(walker: Viewer) -> None:
    page = walker.page
    page.keyboard.press("?")
    page.locator("#bindings button").first.click()
    page.keyboard.press("t")
    expect(page.locator(".cap[data-action=W]")).to_have_text("T")
    assert page.evaluate("JSON.parse(localStorage['worldrt.bindings']).W") == ["KeyT"]
    page.locator("#defaults").click()
    expect(page.locator(".cap[data-action=W]")).to_have_text("W")
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
