"""A recipe's recording: which walks are learned from and which are only looked at."""

from pathlib import Path

import pytest

from worldrt.config import CameraConfig
from worldrt.errors import ConfigError, InputError
from worldrt.training.episodes import TRAINING_SEEDS
from worldrt.training.recording import Recording

CAMERA = CameraConfig(width=128, height=96, fx=64.0, fy=76.8)


def recording(folder: str, episodes: int = 7, held_out: int = 2) -> Recording:
    return Recording(folder=folder, episodes=episodes, held_out=held_out, frames=5, camera=CAMERA)


def test_every_episode_is_either_learned_from_or_looked_at() -> None:
    found = recording("data")
    assert list(found.training) + list(found.validation) == list(range(7))
    assert len(found.validation) == 2


def test_training_mazes_are_none_of_the_users() -> None:
    assert recording("data").seed == TRAINING_SEEDS >= 1_000_000


@pytest.mark.parametrize("held_out", [0, 7, 9, -1])
def test_a_share_that_leaves_nothing_is_refused(held_out: int) -> None:
    with pytest.raises(ConfigError, match=rf"Of 7 episodes {held_out} can't be held out"):
        recording("data", held_out=held_out)


def test_opening_what_was_not_recorded_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no recording"):
        recording(str(tmp_path / "nothing")).open()
