"""A walk as a video: the figures that go with it, what is refused before it, and how it may end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load as decode

from tests.tiny import BLOCK, ROOM, tiny_config, write_world
from worldrt.atlas.store import load
from worldrt.bench.soak import resident_mb
from worldrt.chunk import Chunk
from worldrt.config import MemoryUse, dump
from worldrt.errors import (
    CheckpointError,
    ConfigError,
    InputError,
    OutputError,
    PathError,
    WorldrtError,
)
from worldrt.geometry.trajectory import read_path
from worldrt.memory.policy import SwitchMode
from worldrt.memory.slots import Region
from worldrt.render import SCALE, Order, follow, render
from worldrt.rollout import Receipt
from worldrt.session import Session
from worldrt.simulators.doom.collision import clear
from worldrt.simulators.doom.engine import BODY
from worldrt.simulators.doom.maze import generate
from worldrt.starts import Start
from worldrt.tally import Tally
from worldrt.transcript import Transcript
from worldrt.video import VideoWriter, read_frames
from worldrt.world import World

KEYS = {
    "frames",
    "fps",
    "block_ms",
    "cache_bytes_peak",
    "partitions",
    "latents_sha256",
    "psnr_seen",
    "psnr_novel",
    "baselines",
}


@pytest.fixture
def order(world_folder: Path, tmp_path: Path) -> Order:
    """Ten frames: two and a half blocks."""
    return Order(
        world=str(world_folder),
        path="W*5 L*5",
        seconds=None,
        start="room",
        context_frames=4,
        seed=1,
        policy=None,
        steps=None,
        dtype="fp32",
        switch="",
        memory=None,
        retrieval=None,
        through_walls=False,
        depth="room",
        load_memory=None,
        save_memory=None,
        compare=False,
        out=tmp_path / "walk.mp4",
        json=tmp_path / "walk.json",
        log=None,
    )


def frames_of(path: Path) -> np.ndarray:
    return np.stack(list(read_frames(path)))


def test_report_has_the_figures_of_the_video(order: Order, world: World) -> None:
    report = render(order)
    assert order.json is not None
    found = json.loads(order.json.read_text())
    assert found.keys() >= KEYS
    assert len(frames_of(order.out)) == found["frames"] == report.frames == 10
    assert found["fps"] > 0 and "encoding" in found["fps_includes"]
    assert 0 < found["block_ms"]["p50"] <= found["block_ms"]["p95"]
    assert found["cache_bytes_peak"] == Session(world, world.start("room")).cache.nbytes
    assert set(found["partitions"]) == {str(region) for region in Region}
    assert found["partitions"]["sink"] == {"frames": 4, "tokens": 48, "bytes": 48 * 2 * 3 * 48 * 4}
    assert len(bytes.fromhex(found["latents_sha256"])) == 32
    assert found["psnr_seen"] is found["psnr_novel"] is None
    assert found["baselines"] == {"repeat": None, "splat": None, "fill_novel": None}
    assert found["interrupted"] is False and found["assumed"] == ""
    assert (found["world"], found["start"], found["policy"]) == ("tiny", "room", "window")


def test_video_is_the_session_enlarged(order: Order, world: World) -> None:
    render(order)
    session = Session(world, world.start("room", 4), seed=1)
    path = [chunk.frames for chunk in follow(session, read(order, world))]
    wanted = np.concatenate(path)[:10].repeat(SCALE, axis=1).repeat(SCALE, axis=2)
    found = frames_of(order.out)
    assert found.shape == wanted.shape
    # The noise of an untrained model is hard on a video.
    assert np.abs(found.astype(float) - wanted).mean() < 12


def read(order: Order, world: World) -> np.ndarray:
    motion = world.config.motion
    start = world.start("room", 4)
    return read_path(order.path, None, motion).poses(start.poses[-1], motion, 10)


def test_same_order_gives_same_latents(order: Order, tmp_path: Path) -> None:
    one = render(order)
    again = render(replace(order, out=tmp_path / "again.mkv"))
    assert one.latents_sha256 == again.latents_sha256
    np.testing.assert_array_equal(frames_of(order.out), frames_of(tmp_path / "again.mkv"))
    for change in ({"seed": 2}, {"path": "W*10"}, {"context_frames": 0}, {"policy": "pack"}):
        other = render(replace(order, out=tmp_path / "other.mp4", **change))
        assert other.latents_sha256 != one.latents_sha256, change


def test_steps_that_are_asked_for_are_walked(order: Order, world: World) -> None:
    """As many as the world has are its own."""
    own = render(order).latents_sha256
    count = len(world.config.sampler.sigmas)
    assert render(replace(order, steps=count)).latents_sha256 == own
    assert render(replace(order, steps=count + 1)).latents_sha256 != own
    with pytest.raises(ConfigError, match="1 to 100 steps, got 0"):
        render(replace(order, steps=0))


def test_a_log_holds_what_was_asked_for_and_the_hash_of_the_report(
    order: Order, world_folder: Path, tmp_path: Path
) -> None:
    log = tmp_path / "walk.jsonl"
    report = render(replace(order, log=log, steps=3, memory=MemoryUse.SPLAT))
    found = Transcript(log)
    assert found.end is not None and found.end.latents_sha256 == report.latents_sha256
    head = found.header
    assert (head.world, head.start, head.context_frames) == (str(world_folder), "room", 4)
    assert (head.seed, head.policy, head.steps, head.memory) == (1, "window", 3, MemoryUse.SPLAT)
    assert found.blocks == 3


def test_a_log_that_cannot_be_written_is_refused_before_the_video(
    order: Order, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="is a folder; name a file for the action log"):
        render(replace(order, log=tmp_path))
    with pytest.raises(OutputError, match="does not exist; make it first"):
        render(replace(order, log=tmp_path / "missing" / "walk.jsonl"))
    assert not order.out.exists()


@pytest.mark.parametrize(
    "path, seconds, frames",
    [
        ("W*3", None, 3),
        ("W*3", 1.0, 10),
        ("W*3", 1e-9, 1),
        ("spin", None, 36),
        ("spin", 0.5, 5),
        ('[{"position": [0, 0, 0], "yaw": 5}, {"position": [0, 0, 1], "yaw": 9}]', None, 2),
        ('[{"position": [0, 0, 0], "yaw": 5}, {"position": [0, 0, 1], "yaw": 9}]', 0.01, 1),
        ("W", 0.7, 7),
    ],
)
def test_length_is_the_path_or_what_was_asked(
    order: Order, path: str, seconds: float | None, frames: int
) -> None:
    assert render(replace(order, path=path, seconds=seconds)).frames == frames
    assert len(frames_of(order.out)) == frames


def test_walk_in_a_picture_says_what_it_assumed(order: Order, tmp_path: Path) -> None:
    Image.new("RGB", (50, 70), (90, 60, 30)).save(tmp_path / "attic.jpg")
    report = render(replace(order, start=str(tmp_path / "attic.jpg")))
    assert report.assumed.startswith("attic.jpg has no depth")
    assert report.start == "attic"


def test_last_block_is_filled_with_its_last_pose(world: World, start: Start) -> None:
    poses = np.stack([start.poses[0]] * 3 + [start.poses[9]] * 3)
    chunks = list(follow(Session(world, start), poses))
    assert [chunk.first for chunk in chunks] == [0, 4]
    walked = np.concatenate([chunk.poses for chunk in chunks])
    np.testing.assert_array_equal(walked[:6], poses)
    np.testing.assert_array_equal(walked[6:], poses[[-1, -1]])


def test_switches_take_effect_at_their_block(order: Order) -> None:
    """Frames 0, 4 and 8 begin blocks; a switch at frame 3 waits for the next one."""
    changed = replace(order, policy="infinity", switch="0.3:cut 0:keep 0.8:flush")
    report = render(changed)
    expected = [(SwitchMode.KEEP, 0), (SwitchMode.CUT, 1), (SwitchMode.FLUSH, 2)]
    assert report.switches == [Receipt(mode, block) for mode, block in expected]
    plain = render(replace(order, policy="infinity"))
    assert plain.switches == [] and plain.latents_sha256 != report.latents_sha256
    assert order.json is not None
    assert json.loads(order.json.read_text())["switches"] == []


# What is refused, and that nothing is written then.


@pytest.mark.parametrize(
    "change, kind, words",
    [
        ({"seconds": 0.0}, ConfigError, "0.0 seconds"),
        ({"seconds": -3.0}, ConfigError, "-3.0 seconds"),
        ({"seconds": float("nan")}, ConfigError, "nan seconds"),
        ({"seconds": float("inf")}, ConfigError, "inf seconds"),
        ({"seconds": 1e9}, PathError, "1 to 1000000"),
        ({"out": Path("nowhere/a.mp4")}, OutputError, "no folder nowhere"),
        ({"out": Path("a.avi")}, ConfigError, "Unknown video suffix"),
        ({"json": Path("nowhere/a.json")}, OutputError, "folder nowhere does not exist"),
        ({"policy": "windw"}, ConfigError, "did you mean 'window'"),
        ({"switch": "0:flush"}, ConfigError, "Policy 'window' has no switch mode 'flush'"),
        ({"switch": "soon:keep"}, ConfigError, "A switch is SECONDS:MODE"),
        ({"policy": "window:snik=2"}, ConfigError, "did you mean 'sink'"),
        ({"policy": "window:sink=x"}, ConfigError, "whole number, got 'x'"),
        ({"world": "nowhere"}, ConfigError, "Unknown world 'nowhere'"),
        ({"start": "rom"}, ConfigError, "did you mean 'room'"),
        ({"start": "seed:x"}, ConfigError, "got 'x'"),
        ({"start": "missing.png"}, InputError, "missing.png can't be read as a picture"),
        ({"path": "W*4 X*2"}, PathError, "does not know 'X'"),
        ({"path": "lopo"}, PathError, "did you mean 'loop'"),
        ({"path": "missing.json"}, PathError, "path file"),
        ({"context_frames": -1}, ConfigError, "0 to 96"),
        ({"context_frames": 97}, ConfigError, "97 context frames"),
        ({"seed": -1}, ConfigError, "got -1"),
        ({"retrieval": "neraest"}, ConfigError, "did you mean 'nearest'"),
        (
            {"retrieval": "nearest", "memory": MemoryUse.SPLAT},
            ConfigError,
            "memory use 'splat' recalls none",
        ),
        (
            {"save_memory": Path("kept"), "memory": MemoryUse.NONE},
            ConfigError,
            "nothing to save to kept",
        ),
        ({"depth": "plane:4"}, ConfigError, "'room' has depths of its own, 'plane:4'"),
        ({"load_memory": Path("nowhere")}, InputError, "nowhere"),
        ({"save_memory": Path("nowhere/memory")}, OutputError, "nowhere does not exist"),
        ({"compare": True}, ConfigError, "say --start seed:3"),
    ],
)
def test_nonsense_is_refused_before_anything_is_written(
    order: Order,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, object],
    kind: type[WorldrtError],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=words):
        render(replace(order, **change))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("file", ["model.safetensors", "codec.safetensors"])
@pytest.mark.parametrize("damage", [cut, Path.unlink])
def test_damaged_world_leaves_no_file(
    order: Order, world_folder: Path, tmp_path: Path, file: str, damage: Callable[[Path], None]
) -> None:
    folder = shutil.copytree(world_folder, tmp_path / "broken")
    damage(folder / file)
    with pytest.raises((CheckpointError, InputError), match=file):
        render(replace(order, world=str(folder)))
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


# How it ends.


def test_error_on_the_way_keeps_the_frames_and_the_report(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = VideoWriter.write

    def full(video: VideoWriter, frames: np.ndarray) -> None:
        if video.frames >= 2 * BLOCK:
            raise KeyboardInterrupt
        write(video, frames)

    monkeypatch.setattr(VideoWriter, "write", full)
    with pytest.raises(KeyboardInterrupt):
        render(order)
    assert len(frames_of(order.out)) == 2 * BLOCK
    assert order.json is not None
    found = json.loads(order.json.read_text())
    assert found["interrupted"] is True and found["frames"] == 2 * BLOCK


def test_ctrl_c_leaves_a_playable_video(order: Order) -> None:
    assert order.json is not None
    arguments = ("--path", "random:3", "--seconds", "5000", "--start", "room")
    places = ("--out", str(order.out), "--json", str(order.json))
    process = subprocess.Popen(
        [sys.executable, "-m", "worldrt", "render", order.world, *arguments, *places],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        text=True,
    )
    patience = time.monotonic() + 240
    while not (order.out.exists() and order.out.stat().st_size > 30_000):
        assert process.poll() is None and time.monotonic() < patience
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (out, err) == ("", "")
    frames = len(frames_of(order.out))
    found = json.loads(order.json.read_text())
    assert found["interrupted"] is True
    assert 0 < frames < 50_000 and abs(found["frames"] - frames) <= 1


def test_long_video_takes_no_more_memory_than_a_short_one(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[float] = []
    add = Tally.add

    def note(tally: Tally, chunk: Chunk) -> None:
        add(tally, chunk)
        noted.append(resident_mb())

    monkeypatch.setattr(Tally, "add", note)
    report = render(replace(order, path="random:1", seconds=120))
    assert report.frames == 1200 and len(noted) == 300
    assert max(noted[60:]) - noted[60] < 10


# Beside the truth.


def test_truth_is_shown_and_scored(order: Order) -> None:
    pytest.importorskip("vizdoom")
    report = render(replace(order, start="seed:2", path="L*10 J*10", compare=True))
    assert report.frames == 20
    frames = frames_of(order.out)
    assert len(frames) == 20 and frames.shape[2] > 2 * 64 * SCALE
    assert report.psnr_seen is not None and 0 < report.psnr_seen < 60
    assert set(report.baselines) == {"repeat", "splat", "fill_novel"}
    repeat, splat = report.baselines["repeat"], report.baselines["splat"]
    assert repeat is not None and splat is not None and splat > repeat > 0
    assert {f"sharp_seen_{of}" for of in ("world", "splat", "repeat")} <= report.sharpness.keys()


def test_world_that_adds_nothing_is_as_good_as_the_memory(order: Order, tmp_path: Path) -> None:
    """The truth that is compared with is at the poses and in the place of what is generated."""
    pytest.importorskip("vizdoom")
    still = write_world(tmp_path / "still", trained=False)
    report = render(replace(order, world=str(still), start="seed:2", path="L*4 J*4", compare=True))
    splat = report.baselines["splat"]
    assert splat is not None and report.psnr_seen is not None
    assert abs(report.psnr_seen - splat) < 1
    assert splat > 20


def places(order: Order, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """[F, 2] x and z of every frame of a rendering."""
    walked: list[np.ndarray] = []
    add = Tally.add

    def note(tally: Tally, chunk: Chunk) -> None:
        add(tally, chunk)
        walked.append(chunk.poses[:, [0, 2], 3])

    monkeypatch.setattr(Tally, "add", note)
    render(order)
    return np.concatenate(walked)


def test_keys_do_not_lead_through_the_walls_of_a_maze(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("vizdoom")
    found = places(replace(order, start="seed:2", path="W*90 L*9 W*90"), monkeypatch)
    labels = generate(2).labels
    assert all(clear(labels, x, z, BODY) for x, z in found.tolist())
    assert np.abs(found[-1] - found[0]).max() > 1


@pytest.mark.parametrize("through", [False, True])
def test_walls_that_were_seen_are_solid_unless_asked_otherwise(
    order: Order, monkeypatch: pytest.MonkeyPatch, through: bool
) -> None:
    """The start has looked along the room's far wall, and walks at it."""
    asked = replace(order, path="W*40", context_frames=9, through_walls=through)
    found = places(asked, monkeypatch)
    inside = (found > ROOM[0, [0, 2]]).all() and (found < ROOM[1, [0, 2]]).all()
    assert inside == (not through)
    assert np.abs(found[-1] - found[0]).max() > 1


def test_the_memory_is_saved_and_can_be_loaded(order: Order, tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    report = render(replace(order, save_memory=folder))
    memory = load(folder)
    assert len(memory) == report.memory_points > 1000
    assert len(memory.keyframes) > 0


def test_what_moves_is_saved_with_the_memory(order: Order, tmp_path: Path) -> None:
    folder, config = tmp_path / "memory", tiny_config()
    world = shutil.copytree(order.world, tmp_path / "followed")
    memory = msgspec.structs.replace(config.memory, entities=2)
    (world / "world.toml").write_text(dump(msgspec.structs.replace(config, memory=memory)))
    render(replace(order, world=str(world), save_memory=folder))
    names = decode((folder / "state-1.safetensors").read_bytes()).keys()
    assert {"entities.used", "entities.history"} <= names
    render(replace(order, world=str(world), load_memory=folder))


def test_a_saved_memory_is_gone_on_with(order: Order, tmp_path: Path) -> None:
    """What was made in the first walk is known at the second one's start."""
    folder = tmp_path / "memory"
    first = render(replace(order, path="J*36", save_memory=folder))
    before = load(folder)
    second = render(replace(order, path="J*36", load_memory=folder, save_memory=folder))
    after = load(folder)
    assert first.memory_points < second.memory_points < 1.2 * first.memory_points
    assert after.keyframes.index.max() >= before.keyframes.index.max()
    assert first.latents_sha256 != second.latents_sha256


@pytest.mark.parametrize("use", list(MemoryUse))
def test_what_the_memory_tells_can_be_asked_for(order: Order, use: MemoryUse) -> None:
    report = render(replace(order, memory=use))
    assert (report.partitions["spatial"]["frames"] > 0) <= use.recalls
    assert (report.memory_points > 0) == (use is not MemoryUse.NONE)
    assert ("recall" in report.stage_ms) == use.recalls
    assert report.memory == use
    assert report.retrieval == ("coverage" if use.recalls else None)


def test_past_frames_can_be_found_in_another_way(order: Order) -> None:
    """Walking on the spot, the last frames are not those that show most."""
    asked = replace(order, path="J*60", seed=3)
    hashes = {render(replace(asked, retrieval=way)).latents_sha256 for way in (None, "last")}
    assert len(hashes) == 2


def test_figures_into_a_folder_are_refused_before_anything_is_made(
    order: Order, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        render(replace(order, json=tmp_path))
    assert not order.out.exists()
