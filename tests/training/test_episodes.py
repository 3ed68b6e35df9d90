"""Recordings: what is read is what the engine saw; damaged ones are mended or refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from worldrt.config import CameraConfig
from worldrt.errors import (
    ConfigError,
    CorruptFile,
    InputError,
    OutputError,
    SimulatorError,
    WorldrtError,
)
from worldrt.simulators import walks
from worldrt.simulators.doom.engine import Doom
from worldrt.simulators.doom.maze import pose
from worldrt.training.episodes import (
    MANIFEST,
    SHARD_EPISODES,
    TRAINING_SEEDS,
    Episodes,
    read_manifest,
    record,
)

pytest.importorskip("vizdoom")
CAMERA = CameraConfig(width=40, height=30, fx=20, fy=24)
EPISODES, FRAMES = SHARD_EPISODES + 1, 3


def make(out: Path, *, episodes: int = EPISODES, frames: int = FRAMES, workers: int = 1) -> None:
    record(
        out, episodes=episodes, frames=frames, camera=CAMERA, seed=TRAINING_SEEDS, workers=workers
    )


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("recording") / "deep" / "mazes"
    make(out)
    return out


@pytest.fixture
def copy(recording: Path, tmp_path: Path) -> Path:
    """A recording to spoil."""
    return Path(shutil.copytree(recording, tmp_path / "copy"))


def test_reading_gives_what_the_engine_saw(recording: Path) -> None:
    episodes = Episodes(recording)
    assert (len(episodes), episodes.frames) == (EPISODES, FRAMES)
    assert (episodes.camera.width, episodes.camera.fy) == (40, 24)
    assert episodes.seeds == tuple(range(TRAINING_SEEDS, TRAINING_SEEDS + EPISODES))
    with Doom(episodes.camera, episodes.seeds[::8]) as doom:
        for episode, seed in list(enumerate(episodes.seeds))[::8]:
            rgb, depth, poses = episodes.read(episode, 0, FRAMES)
            assert rgb.shape == (FRAMES, 30, 40, 3) and rgb.dtype == np.uint8
            assert depth.shape == (FRAMES, 30, 40) and depth.dtype == np.float16
            assert poses.shape == (FRAMES, 4, 4) and poses.dtype == np.float64
            doom.load(seed)
            path = walks.wander(doom.maze, FRAMES, walks.BRISK, seed)
            for frame, wanted in enumerate(path):
                seen = doom.observe(wanted)
                assert np.array_equal(seen.rgb, rgb[frame])
                np.testing.assert_allclose(depth[frame], seen.depth, rtol=1e-3)
                assert np.array_equal(seen.world_from_camera, poses[frame])
    episodes.verify()


def test_slices_are_parts_of_the_whole(recording: Path) -> None:
    episodes = Episodes(recording)
    whole = episodes.read(3, 0, FRAMES)
    for start, stop in ((0, 1), (1, 3), (2, 3)):
        for part, all_frames in zip(episodes.read(3, start, stop), whole, strict=True):
            assert np.array_equal(part, all_frames[start:stop])


@pytest.mark.parametrize(
    ("episode", "start", "stop"),
    [(-1, 0, 1), (EPISODES, 0, 1), (0, 0, FRAMES + 1), (0, 2, 2), (0, -1, 2)],
)
def test_what_does_not_exist(recording: Path, episode: int, start: int, stop: int) -> None:
    with pytest.raises(InputError, match=f"{EPISODES} episodes of {FRAMES} frames"):
        Episodes(recording).read(episode, start, stop)


def test_a_broken_recording_is_mended(copy: Path) -> None:
    """A shard that is lost is recorded again, bit for bit; the other is kept."""
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    kept = (copy / "shard-00000.safetensors").stat().st_mtime_ns
    (copy / "shard-00001.safetensors").unlink()
    make(copy)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    assert (copy / "shard-00000.safetensors").stat().st_mtime_ns == kept


@pytest.mark.slow
def test_workers_record_the_same(recording: Path, tmp_path: Path) -> None:
    make(tmp_path / "two", workers=2)
    for path in recording.iterdir():
        assert (tmp_path / "two" / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_finished_recording_is_left_alone(copy: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in copy.iterdir()}
    make(copy)
    assert {path.name: path.stat().st_mtime_ns for path in copy.iterdir()} == before


def test_an_unfinished_recording_is_refused(copy: Path) -> None:
    manifest = json.loads((copy / MANIFEST).read_text())
    del manifest["shards"]["1"]
    (copy / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="1 of 2 shards.*record it again"):
        Episodes(copy)


def test_another_recording_is_not_overwritten(copy: Path) -> None:
    with pytest.raises(ConfigError, match="another recording .17 episodes of 3 frames"):
        make(copy, frames=FRAMES + 1)
    assert read_manifest(copy).frames == FRAMES


def test_truncation_is_seen_at_once(copy: Path) -> None:
    shard = copy / "shard-00000.safetensors"
    content = shard.read_bytes()
    shard.write_bytes(content[:-7])
    with pytest.raises(CorruptFile, match=f"{len(content) - 7} bytes instead of {len(content)}"):
        Episodes(copy)
    shard.unlink()
    with pytest.raises(CorruptFile, match="0 bytes instead of"):
        Episodes(copy)


def test_a_flipped_bit_is_seen_by_verify(copy: Path) -> None:
    shard = copy / "shard-00000.safetensors"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(CorruptFile, match="sha256"):
        Episodes(copy).verify()


def test_a_broken_header_is_seen_by_reading(copy: Path) -> None:
    shard = copy / "shard-00000.safetensors"
    content = bytearray(shard.read_bytes())
    content[:8] = b"\xff" * 8
    shard.write_bytes(content)
    with pytest.raises(CorruptFile):
        Episodes(copy).read(0, 0, 1)
    Episodes(copy).read(EPISODES - 1, 0, 1)


@pytest.mark.parametrize(
    ("text", "error"),
    [("{", CorruptFile), ("[]", CorruptFile), ('{"schema": 2}', CorruptFile), (None, InputError)],
)
def test_bad_manifests(copy: Path, text: str | None, error: type[WorldrtError]) -> None:
    if text is None:
        (copy / MANIFEST).unlink()
    else:
        (copy / MANIFEST).write_text(text)
    with pytest.raises(error):
        Episodes(copy)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"schema": 2}, "schema 2"),
        ({"seeds": []}, "0 episodes of 3 frames"),
        ({"frames": 0}, "17 episodes of 0 frames"),
        ({"seeds": [5]}, r"1 episodes of 3 frames can't have the shards \[0, 1\]"),
        ({"colour": "blue"}, "unknown field `colour`"),
    ],
    ids=["schema", "seeds", "frames", "shards", "field"],
)
def test_impossible_manifests(copy: Path, change: dict[str, object], sentence: str) -> None:
    manifest = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps(manifest | change))
    with pytest.raises(CorruptFile, match=sentence):
        Episodes(copy)


@pytest.mark.parametrize("number", ["episodes", "frames", "workers"])
def test_numbers_must_be_positive(tmp_path: Path, number: str) -> None:
    with pytest.raises(ConfigError, match="at least 1 episode, frame and worker"):
        make(tmp_path / "none", **{number: 0})
    assert not (tmp_path / "none").exists()


def test_a_place_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't be made"):
        make(tmp_path / "file" / "mazes")


def test_a_refused_walk_is_no_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rock = np.broadcast_to(pose(1.0, 1.0, 0.0), (FRAMES, 4, 4))
    monkeypatch.setattr(walks, "wander", lambda *_: rock)
    with pytest.raises(SimulatorError, match="refused frame 0 of 3"):
        make(tmp_path, episodes=1)
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST]
