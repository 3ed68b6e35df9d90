"""The viewer's parts that need no picture: time, jitter buffer and prediction, as mathematics."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from tests.client.playhouse import playing
from worldrt.config import MotionConfig
from worldrt.geometry.keys import Keys
from worldrt.geometry.se3 import from_yaw_pitch
from worldrt.geometry.trajectory import integrate

FPS = 15.0
PERIOD = 1000 / FPS


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """A page that can import the viewer's modules."""
    with playing(lambda player: None) as home:
        page = browser.new_page()
        page.goto(home + "icon.svg")
        yield page
        page.close()


def test_the_quickest_answer_tells_the_servers_clock(page: Page) -> None:
    """The offset is off by at most half the round trip of the best answer."""
    offset, seen = 5_000_000, []
    random = np.random.default_rng(3)
    for sent in range(0, 4_000_000, 200_000):
        there, back = (int(us) for us in random.exponential((20_000, 30_000)) + 300)
        t1 = sent + there + offset
        seen.append([{"t0_us": sent, "t1_us": t1, "t2_us": t1 + 90}, sent + there + back + 90])
    told = page.evaluate(
        """async (seen) => {
            const { ServerClock } = await import("/clock.js");
            const clock = new ServerClock();
            const known = clock.known;
            for (const [answer, now] of seen) clock.answered(answer, now);
            return { known, after: clock.known, offset: clock.offset, rtt: clock.rtt,
                     here: clock.here(clock.offset + 7) };
        }""",
        seen,
    )
    trips = [now - answer["t0_us"] - 90 for answer, now in seen]
    assert (told["known"], told["after"], told["here"]) == (False, True, 7)
    assert told["rtt"] == min(trips)
    assert abs(told["offset"] - offset) <= min(trips) / 2


def shown(page: Page, pushes: list[dict[str, Any]], ticks: list[float]) -> dict[str, Any]:
    """Which frame is taken at each tick; a push holds its time and its header."""
    return page.evaluate(
        """async ([pushes, ticks, fps]) => {
            const { JitterBuffer } = await import("/buffer.js");
            const buffer = new JitterBuffer(fps);
            const out = [];
            let closed = 0;
            for (const now of ticks) {
                while (pushes.length && pushes[0].at <= now) {
                    const { at, ...header } = pushes.shift();
                    buffer.push({ header, close: () => (closed += 1) }, at);
                }
                const frame = buffer.take(now);
                if (frame) out.push([now, frame.header.frame, frame.header.epoch]);
            }
            return { out, closed, dropped: buffer.dropped, rate: buffer.rate };
        }""",
        [pushes, ticks, FPS],
    )


def block(at: float, first: int, epoch: int = 1, flags: int = 0) -> list[dict[str, Any]]:
    """Four frames that come together."""
    return [
        {
            "at": at,
            "epoch": epoch,
            "frame": first + i,
            "index": i,
            "pts_us": round(1e6 * (first + i) / FPS),
            "flags": flags if i == 0 else 0,
        }
        for i in range(4)
    ]


TICKS = [float(t) for t in range(0, 6000, 10)]


def test_bursts_leave_evenly(page: Page) -> None:
    """Blocks come with a jitter of 60 ms; frames are shown a period apart, none lost."""
    random = np.random.default_rng(5)
    pushes = block(0, 0)
    for number in range(1, 18):
        pushes += block(number * 4 * PERIOD - 70 + random.uniform(0, 60), 4 * number)
    result = shown(page, pushes, TICKS)
    assert [frame for _, frame, _ in result["out"]] == list(range(72))
    gaps = np.diff([now for now, _, _ in result["out"]])
    assert result["dropped"] == 0 and gaps.min() >= 50 and gaps.max() <= 90


def test_what_ran_dry_begins_anew_at_once(page: Page) -> None:
    pushes = block(0, 0) + block(1000, 4) + block(1000 + 4 * PERIOD - 20, 8)
    result = shown(page, pushes, TICKS)
    times = {frame: now for now, frame, _ in result["out"]}
    assert times[3] < 300 and times[4] == 1000
    assert times[8] == pytest.approx(times[4] + 4 * PERIOD, abs=20)
    assert len(times) == 12


def test_too_much_is_caught_up_with_by_an_eighth_at_most(page: Page) -> None:
    """Blocks that come too early hurry the pace, and those in time don't."""
    early = [frame for n in range(12) for frame in block(n * 200.0, 4 * n)]
    result = shown(page, early, TICKS)
    gaps = np.diff([now for now, _, _ in result["out"]])
    assert [frame for _, frame, _ in result["out"]] == list(range(48))
    assert gaps.min() >= 50 and np.mean(gaps) >= PERIOD / 1.12 - 1
    assert np.mean(gaps) < 0.98 * PERIOD


def test_a_cutover_leaves_three_older_frames(page: Page) -> None:
    pushes = [frame for n in range(5) for frame in block(0, 4 * n)]
    pushes += block(10, 20, flags=4)
    result = shown(page, pushes, TICKS)
    frames = [frame for _, frame, _ in result["out"]]
    assert frames[0] == 0 and frames[1:4] == [17, 18, 19] and frames[4:] == [20, 21, 22, 23]
    assert result["dropped"] == result["closed"] == 16


def test_an_older_epoch_is_never_shown(page: Page) -> None:
    pushes = block(0, 0) + block(20, 0, epoch=2) + block(30, 4, epoch=1)
    result = shown(page, pushes, TICKS)
    assert [(frame, epoch) for _, frame, epoch in result["out"]] == [
        (0, 1),
        *((frame, 2) for frame in range(4)),
    ]
    assert result["dropped"] == result["closed"] == 7


LAG_MS = 350.0
BLOCK = 4
MOTION = MotionConfig(move_step=0.2, turn_step=5.0, pitch_limit=30.0)


def walked(held: list[tuple[float, Keys]], until: float) -> list[dict[str, Any]]:
    """What a server makes of keys: latched every block, shown LAG_MS after the latch."""
    pose, frames = from_yaw_pitch(np.zeros(3), 0.0, 0.0), []
    for latch in np.arange(0, until, BLOCK * PERIOD):
        keys = [key for t, key in held if t <= latch][-1]
        poses = integrate([keys] * BLOCK, pose, MOTION)
        pose = poses[-1]
        for i, each in enumerate(poses):
            yaw = np.arctan2(each[0, 2], each[2, 2])
            frames.append(
                {
                    "at": latch + LAG_MS + i * PERIOD,
                    "stands": latch + (i + 1) * PERIOD,
                    "yaw": yaw,
                    "pose": {
                        "quaternion": [float(np.cos(yaw / 2)), 0, float(np.sin(yaw / 2)), 0],
                        "position": each[:3, 3].tolist(),
                    },
                }
            )
    return frames


def predicted(page: Page, held: list[tuple[float, Keys]], until: float) -> np.ndarray:
    """[N, 6] at each display frame: time, degrees of the frame and of what is shown, and the
    position of what is shown."""
    axes = [
        (t, [float(bool(k & Keys.D)) - bool(k & Keys.A), float(bool(k & Keys.W)) - bool(k & Keys.S),
             float(bool(k & Keys.L)) - bool(k & Keys.J), 0.0])
        for t, k in held
    ]  # fmt: skip
    rows = page.evaluate(
        """async ([axes, frames, until, motion]) => {
            const { Prediction } = await import("/prediction.js");
            const { apply, matrix, product, transpose } = await import("/rigid.js");
            const prediction = new Prediction(motion, 0);
            const out = [];
            let frame = null;
            for (let now = 0; now < until; now += 16) {
                while (axes.length && axes[0][0] <= now)
                    prediction.hold(axes[0][0], axes.shift()[1], [0, 0]);
                while (frames.length && frames[0].at <= now) {
                    frame = frames.shift();
                    prediction.show(frame.pose, frame.stands, 20, now);
                }
                if (!frame) continue;
                const view = prediction.view(now, true);
                const shown = product(matrix(frame.pose.quaternion), transpose(view.rotation));
                const step = apply(shown, view.shift);
                const position = frame.pose.position.map((value, i) => value - step[i]);
                const degrees = 180 / Math.PI;
                const yaw = Math.atan2(shown[2], shown[8]) * degrees;
                out.push([now, frame.yaw * degrees, yaw, ...position]);
            }
            return out;
        }""",
        [axes, walked(held, until), until,
         {"fps": FPS, "move_step": 0.2, "turn_step": 5.0, "pitch_limit": 30.0}],
    )  # fmt: skip
    return np.array(rows)


def test_turning_is_shown_at_once_smooth_and_ends_where_the_world_does(page: Page) -> None:
    held = [(0.0, Keys.NONE), (1000.0, Keys.L), (2000.0, Keys.NONE)]
    now, frame, view = predicted(page, held, 4000)[:, :3].T
    rate = MOTION.turn_step * FPS / 1000  # degrees a millisecond
    steps = np.diff(view)
    assert view[now > 1000][0] > 0 == frame[now > 1000][0]
    assert np.all(steps > -0.1) and np.max(steps) < 1.5 * 16 * rate
    during = (now > 1100) & (now < 1900)
    slope = np.polyfit(now[during], view[during], 1)[0]
    assert slope == pytest.approx(rate, rel=0.15)  # a key waits for its block: it is made good
    assert view[-1] == pytest.approx(frame[-1], abs=1e-6) and frame[-1] == pytest.approx(80)


def test_a_tap_comes_to_rest_where_the_world_does(page: Page) -> None:
    """The world holds a tap for a block, 20 degrees; what is shown glides there."""
    held = [(0.0, Keys.NONE), (1000.0, Keys.L), (1120.0, Keys.NONE)]
    now, frame, view = predicted(page, held, 3000)[:, :3].T
    assert np.max(np.abs(np.diff(view))) < 2.5
    assert view[-1] == pytest.approx(frame[-1], abs=1e-6)
    assert frame[-1] == pytest.approx(20)


def test_walking_is_shown_ahead_of_the_world(page: Page) -> None:
    held = [(0.0, Keys.NONE), (1000.0, Keys.W), (2000.0, Keys.NONE)]
    rows = predicted(page, held, 4000)
    now, z = rows[:, 0], rows[:, 5]
    assert z[(now > 1200)][0] == pytest.approx(0.2 * FPS * 0.2, abs=0.1)
    assert np.all(np.diff(z) > -0.06) and z[-1] == pytest.approx(16 * 0.2, abs=1e-6)


def test_a_mouse_that_outruns_the_world_is_followed_to_the_end(page: Page) -> None:
    """40 degrees in no time: shown at once; the world needs eight frames for them."""
    told = page.evaluate(
        """async () => {
            const { Prediction } = await import("/prediction.js");
            const motion = { fps: 15, move_step: 0.2, turn_step: 5, pitch_limit: 30 };
            const prediction = new Prediction(motion, 0);
            const out = [];
            let yaw = 0;
            for (let n = 0, now = 0; now < 3000; now += 20) {
                if (now === 1000) prediction.hold(now, [0, 0, 0, 0], [40, 0]);
                for (; n * 1000 / 15 + 300 <= now; n++) {
                    const stands = ((n + 1) * 1000) / 15;
                    if (stands > 1000) yaw = Math.min(40, yaw + 5);
                    const half = (yaw * Math.PI) / 360;
                    const quaternion = [Math.cos(half), 0, Math.sin(half), 0];
                    prediction.show({ quaternion, position: [0, 0, 0] }, stands, 20, now);
                }
                out.push([now, yaw, yaw + prediction.view(now, true).yaw]);
            }
            return out;
        }"""
    )
    now, frame, view = np.array(told).T
    assert np.all(view[now < 1000] == 0)
    assert np.all(np.abs(view[now >= 1000] - 40) < 5)
    assert frame[-1] == view[-1] == 40


def test_a_wall_ahead_is_not_walked_into(page: Page) -> None:
    shift = page.evaluate(
        """async () => {
            const { Prediction } = await import("/prediction.js");
            const motion = { fps: 15, move_step: 0.2, turn_step: 5, pitch_limit: 0 };
            const prediction = new Prediction(motion, 0);
            prediction.hold(0, [0, 1, 0, 0], [0, 0]);
            const pose = { quaternion: [1, 0, 0, 0], position: [0, 0, 0] };
            prediction.show(pose, 0, 1.0, 10);
            return prediction.view(900, true).shift[2];
        }"""
    )
    assert -0.5 < shift < 0
