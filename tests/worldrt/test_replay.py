"""A walk made again: the same bits where nothing is changed, and a word on all that is."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import BLOCK
from worldrt.actions import ActionLog, header_of
from worldrt.config import MemoryUse
from worldrt.errors import ConfigError, InputError, OutputError
from worldrt.geometry.keys import random_walk
from worldrt.memory.policy import SwitchMode
from worldrt.replay import Again, replay, walk
from worldrt.session import Session
from worldrt.transcript import Transcript
from worldrt.video import read_frames
from worldrt.world import World

SAME = "The latents are the log's, bit for bit."
OTHER = "The latents are not the log's."


def live(world: World, folder: Path, path: Path, use: MemoryUse | None = None) -> list[str]:
    """Walk with sticks and keys, switches and policies, as a live session would; what was seen."""
    start = world.start("room", 5)
    random = np.random.default_rng(2)
    with (
        Session(world, start, seed=11, policy="infinity", use=use) as session,
        ActionLog(
            path,
            header_of(session, world=str(folder), start="room", seed=11, context_frames=5),
        ) as log,
    ):
        for index in range(7):
            if index == 2:
                session.switch(SwitchMode.FLUSH)
            if index == 4:
                session.use_policy("longlive")
                session.switch(SwitchMode.RECACHE)
            if index == 6:
                session.use_policy("pack:packer=pooled")
            if index % 2:
                axes = random.uniform(-1, 1, (BLOCK, 4))
                log.add(session.drive(axes, session.walls), axes, seq=index)
            else:
                log.add(session.step(random_walk(index, BLOCK), session.walls), keys=index)
    return path.read_text().splitlines()


def test_a_log_is_replayed_in_the_precision_that_it_was_walked_in(
    again: Again, world_folder: Path
) -> None:
    live(World.load(str(world_folder), "bf16"), world_folder, again.log)
    assert Transcript(again.log).header.dtype == "bf16"
    _, remarks = replay(again)
    assert SAME in remarks


@pytest.fixture(params=[MemoryUse.SPLAT, MemoryUse.BOTH, MemoryUse.NONE])
def use(request: pytest.FixtureRequest) -> MemoryUse:
    return request.param


@pytest.fixture
def again(world: World, world_folder: Path, tmp_path: Path) -> Again:
    path = tmp_path / "walk.jsonl"
    live(world, world_folder, path, MemoryUse.SPLAT)
    return Again(
        log=path,
        out=tmp_path / "walk.mp4",
        world=None,
        steps=None,
        policy=None,
        seed=None,
        scale=2,
        json=None,
    )


def test_the_same_again_is_the_same_bit_for_bit(
    again: Again, world: World, world_folder: Path, tmp_path: Path, use: MemoryUse
) -> None:
    path = tmp_path / "other.jsonl"
    lines = live(world, world_folder, path, use)
    report, remarks = replay(replace(again, log=path, json=tmp_path / "walk.json"))
    assert remarks == (SAME,)
    assert report.latents_sha256 == json.loads(lines[-1])["latents_sha256"]
    assert json.loads((tmp_path / "walk.json").read_text())["memory"] == use.value
    switches = [getattr(one, "mode", None) or getattr(one, "policy", "") for one in report.switches]
    assert switches == ["flush", "longlive", "recache", "pack:packer=pooled"]
    frames = list(read_frames(again.out))
    camera = world.config.camera
    assert np.stack(frames).shape == (7 * BLOCK, 2 * camera.height, 2 * camera.width, 3)


def test_a_walk_can_be_logged_again(
    again: Again, world: World, world_folder: Path, tmp_path: Path
) -> None:
    """A log of a replay has the blocks and the changes of the log that it came from."""
    log = Transcript(again.log)
    with Session(
        world, world.start("room", 5), seed=11, policy="infinity", use=MemoryUse.SPLAT
    ) as session:
        header = header_of(session, world=str(world_folder), start="room", seed=11)
        with ActionLog(tmp_path / "copy.jsonl", header) as copy:
            for chunk in walk(session, log):
                copy.add(chunk)
    found = Transcript(copy.path)
    assert found.end == log.end
    for one, other in zip(found, log, strict=True):
        assert one.changes == other.changes
        np.testing.assert_array_equal(one.poses, other.poses)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"steps": 5}, "Other than in the log: 5 steps for 2."),
        ({"seed": 4}, "Other than in the log: seed 4 for 11."),
        ({"policy": "longlive"}, None),
        ({"steps": 5, "seed": 0}, "Other than in the log: 5 steps for 2, seed 0 for 11."),
    ],
)
def test_what_is_changed_is_said(again: Again, change: dict, says: str | None) -> None:
    if "policy" in change:
        with pytest.raises(ConfigError, match="'longlive' has no switch mode 'flush'"):
            replay(replace(again, **change))
        assert not again.out.exists()
        return
    report, remarks = replay(replace(again, **change))
    assert remarks == (says, OTHER)
    assert report.seed == change.get("seed", 11)


def test_another_policy_stands_for_the_whole_walk(again: Again) -> None:
    kept = [line for line in again.log.read_text().splitlines() if '"switch"' not in line]
    again.log.write_text("\n".join(kept) + "\n")
    report, remarks = replay(replace(again, policy="window"))
    assert report.policy == "window" and report.switches == []
    assert remarks == ("Other than in the log: policy window.", OTHER)


def test_other_weights_and_builds_are_said(
    again: Again, world_folder: Path, tmp_path: Path
) -> None:
    """A copy with one number changed; a log of another build."""
    folder = tmp_path / "moved"
    shutil.copytree(world_folder, folder)
    report, remarks = replay(replace(again, world=str(folder)))
    assert remarks == (SAME,)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    log = again.log.read_text().replace('"torch":"2', '"torch":"1')
    again.log.write_text(log)
    _, (changed, _) = replay(replace(again, world=str(folder)))
    assert changed.startswith("Other than in the log: weights ") and ", torch 2" in changed


def test_a_walk_that_was_killed_is_made_again_as_far_as_it_is_known(again: Again) -> None:
    *lines, _ = again.log.read_text().splitlines()
    again.log.write_text("\n".join(lines)[:-9])
    report, remarks = replay(again)
    assert report.frames == 6 * BLOCK
    assert remarks == (
        f"The last line of {again.log} is cut and was passed over.",
        "The log has no end, so there is no hash of its latents to compare with.",
    )


def test_a_log_that_was_full_says_so(again: Again) -> None:
    text = again.log.read_text().replace('"why":""', '"why":"The log is full."')
    again.log.write_text(text)
    assert replay(again)[1] == ("The log is full.", SAME)


@pytest.mark.parametrize(
    "change, error, sentence",
    [
        ({"scale": 0}, ConfigError, "A pixel is drawn 1 to 64 pixels wide, got 0."),
        ({"steps": 0}, ConfigError, "1 to 100 steps, got 0"),
        ({"seed": -1}, ConfigError, "0 to .*, got -1"),
        ({"policy": "windw"}, ConfigError, "did you mean 'window'"),
        ({"world": "nowhere"}, ConfigError, "Unknown world 'nowhere'"),
        ({"world": "maze"}, ConfigError, "of 4 frames of .*width=64.* world 'maze' .*width=128"),
        ({"log": Path("missing.jsonl")}, InputError, "missing.jsonl is no file"),
        ({"json": Path("missing/a.json")}, OutputError, "The folder missing does not exist"),
        ({"out": Path("missing/a.mp4")}, OutputError, "there is no folder missing"),
        ({"out": Path("a.gif")}, ConfigError, "'.gif'"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    again: Again, change: dict, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        replay(replace(again, **change))
    assert not again.out.exists()


def test_a_log_without_a_block_is_refused(again: Again) -> None:
    again.log.write_text(again.log.read_text().splitlines()[0] + "\n")
    with pytest.raises(ConfigError, match="holds 0 blocks, a video needs at least 1; walk first"):
        replay(again)
