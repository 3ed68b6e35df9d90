"""A recipe that trains for seconds on turns in the room, and a batch of its samples."""

from pathlib import Path

import numpy as np
import pytest

from tests.tiny import CAMERA, tiny_config, write_recording
from worldrt.codec import Codec
from worldrt.training.recording import Recording
from worldrt.training.samples import Sample, SampleBuilder
from worldrt.training.trainer import WorldRecipe
from worldrt.world import World


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, world_folder: Path) -> WorldRecipe:
    recording = Recording(
        folder=str(tmp_path_factory.mktemp("recording") / "room"),
        episodes=4,
        held_out=1,
        frames=30,
        camera=CAMERA,
    )
    write_recording(recording)
    return WorldRecipe(
        world=tiny_config(),
        recording=recording,
        codec=str(world_folder / "codec.safetensors"),
        minutes=0.03,
        batch=2,
        learning_rate=3e-3,
        report_seconds=0.5,
        loaders=0,
    )


@pytest.fixture(scope="module")
def codec(world_folder: Path) -> Codec:
    return World.load(str(world_folder)).codec


@pytest.fixture(scope="module")
def batch(recipe: WorldRecipe, codec: Codec) -> Sample:
    builder = SampleBuilder(recipe.recording.open(), recipe.world, codec)
    rng = np.random.default_rng(0)
    return Sample.stack([builder.draw(episode, rng) for episode in (0, 1)])
