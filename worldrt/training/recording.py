"""Which walks a recipe learns from: recorded from the simulator where they are missing."""

from pathlib import Path

from worldrt.config import CameraConfig, Config, check
from worldrt.training.episodes import TRAINING_SEEDS, Episodes, record


class Recording(Config, frozen=True, kw_only=True):
    """A recording as a recipe asks for it."""

    folder: str
    """Where it lies, or is made."""
    episodes: int
    """Walks, each through a maze of its own."""
    held_out: int
    """Walks at the end that are only looked at."""
    frames: int
    """Frames a walk."""
    camera: CameraConfig
    seed: int = TRAINING_SEEDS
    """Of the first maze."""

    def __post_init__(self) -> None:
        check(
            0 < self.held_out < self.episodes,
            f"Of {self.episodes} episodes {self.held_out} can't be held out; hold out at least 1 "
            "and leave at least 1.",
        )

    def complete(self, workers: int) -> None:
        """Record what is missing; see `episodes.record`."""
        record(
            Path(self.folder),
            episodes=self.episodes,
            frames=self.frames,
            camera=self.camera,
            seed=self.seed,
            workers=workers,
        )

    def open(self) -> Episodes:
        """The recording, which must be complete."""
        return Episodes(Path(self.folder))

    @property
    def training(self) -> range:
        """Episodes to learn from."""
        return range(self.episodes - self.held_out)

    @property
    def validation(self) -> range:
        """Episodes that are only looked at."""
        return range(self.episodes - self.held_out, self.episodes)
