"""Training of the codec: it improves, it is resumed to the bit, its state survives a kill."""

import itertools
import os
import signal
import time
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from worldrt.codec import ConvCodec, PatchCodec, build, pack
from worldrt.config import CameraConfig, CodecConfig, load
from worldrt.errors import ConfigError, CorruptFile, InputError
from worldrt.geometry.camera import Camera
from worldrt.training import codec as training
from worldrt.training import curves
from worldrt.training.codec import CodecRecipe
from worldrt.training.recording import Recording


class Drawn:
    """Episodes of a camera that slides along a painted wall, drawn instead of recorded."""

    frames = 6
    camera = Camera(width=40, height=32, fx=40, fy=40, cx=20, cy=16)

    def __len__(self) -> int:
        return 7

    def read(
        self, episode: int, start: int, stop: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.float16], NDArray[np.float64]]:
        rng = np.random.default_rng(episode)
        wall = np.full((32, 100, 3), rng.integers(0, 256, 3), np.uint8)
        for _ in range(12):
            corners = rng.integers((0, 0), (100, 32), (4, 2)).astype(np.int32)
            cv2.fillConvexPoly(wall, corners, rng.integers(0, 256, 3).tolist())
        wall += rng.integers(0, 30, wall.shape, np.uint8)
        distance = float(rng.choice([1, 2, 4]))
        moments = np.arange(start, stop)
        rgb = np.stack([wall[:, 10 * moment : 10 * moment + 40] for moment in moments])
        poses = np.tile(np.eye(4), (len(moments), 1, 1))
        poses[:, 0, 3] = moments * 10 * distance / 40
        return rgb, np.full(rgb.shape[:3], distance, np.float16), poses


RECORDING = Recording(
    folder="drawn",
    episodes=7,
    held_out=2,
    frames=6,
    camera=CameraConfig(width=40, height=32, fx=40, fy=40),
)
RECIPE = CodecRecipe(
    codec=CodecConfig(channels=12, near=0.5, refiner_width=8),
    recording=RECORDING,
    steps=40,
    batch=3,
    learning_rate=2e-3,
    fit_frames=30,
)


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    monkeypatch.setattr(Recording, "open", lambda recording: Drawn())
    monkeypatch.setattr(curves.Curves, "draw", lambda self: None)  # half a second each
    monkeypatch.setattr(ConvCodec, "WIDTH", 16)
    monkeypatch.setattr("worldrt.checkpoints.files.os.fsync", lambda file: None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def images(frames: int = 4) -> torch.Tensor:
    rgb, depth, _ = Drawn().read(0, 0, frames)
    return pack(rgb, depth, near=0.5)


def test_the_refiner_learns_what_the_linear_codec_lost():
    image, nothing = images(1), torch.zeros(1, 1, 32, 40)
    torch.manual_seed(0)
    codec = build(CodecConfig(channels=4, near=0.5, refiner_width=16))
    assert isinstance(codec, PatchCodec)
    codec.fit([images(6)])
    codec.train()
    optimiser = torch.optim.AdamW(codec.parameters(), 5e-3)
    losses = []
    for _ in range(80):
        restored = codec.restore(codec.encode(image), torch.zeros_like(image), nothing)
        loss = training.distance(restored, image)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_a_run_reports_what_memory_adds(tmp_path):
    recipe = msgspec.structs.replace(RECIPE, steps=4, report_seconds=0)
    training.train(recipe, tmp_path)
    rows = curves.read(tmp_path / "curves.jsonl")
    assert [step for step, _ in rows] == [1, 2, 3, 4, 4]
    figures = rows[-1][1]
    decoded, restored = figures["rgb dB/flawed"], figures["rgb dB/flawed, with memory"]
    assert decoded is not None and restored is not None and restored > decoded + 0.5


def test_the_autoencoder_learns(tmp_path):
    config = CodecConfig(kind="conv", channels=12, near=0.5)
    recipe = msgspec.structs.replace(RECIPE, codec=config, steps=60, learning_rate=1e-2)
    training.train(recipe, tmp_path / "long")
    training.train(msgspec.structs.replace(recipe, steps=1), tmp_path / "short")
    rows = [curves.read(tmp_path / run / "curves.jsonl")[-1] for run in ("short", "long")]
    first, last = (figures["loss"] for _, figures in rows)
    assert first is not None and last is not None and last < 0.85 * first


def test_what_a_run_leaves(tmp_path):
    codec = training.train(msgspec.structs.replace(RECIPE, steps=2), tmp_path)
    assert not codec.training
    exported = build(RECIPE.codec)
    exported.load_state_dict(load_file(tmp_path / "codec.safetensors"))
    assert torch.equal(exported.encode(images()), codec.encode(images()))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"codec.safetensors", "curves.jsonl", "state.pt", "strip.png"}
    sheet = cv2.imread(str(tmp_path / "strip.png"))
    assert sheet is not None and sheet.std() > 10


def test_a_patch_codec_without_refiner_is_fitted_and_done(tmp_path):
    config = msgspec.structs.replace(RECIPE.codec, refiner_width=0)
    codec = training.train(msgspec.structs.replace(RECIPE, codec=config), tmp_path)
    image = images()
    assert (codec.decode(codec.encode(image)) - image).abs().mean() < 0.2
    assert [row[0] for row in curves.read(tmp_path / "curves.jsonl")] == [0]


@pytest.mark.parametrize("kind", ["patch", "conv"])
def test_a_broken_off_run_goes_on_bit_for_bit(tmp_path, monkeypatch, kind):
    config = msgspec.structs.replace(RECIPE.codec, kind=kind)
    recipe = msgspec.structs.replace(RECIPE, codec=config, steps=8)
    whole = training.train(recipe, tmp_path / "whole").state_dict()
    eager = msgspec.structs.replace(recipe, report_seconds=0)
    save, calls = training.save_state, []

    def save_until_killed(*arguments):
        save(*arguments)
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "save_state", save_until_killed)
        with pytest.raises(KeyboardInterrupt):
            training.train(eager, tmp_path / "broken")
    assert not (tmp_path / "broken" / "codec.safetensors").exists()
    resumed = training.train(eager, tmp_path / "broken").state_dict()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    steps = [row[0] for row in curves.read(tmp_path / "broken" / "curves.jsonl")]
    assert steps == sorted(steps) and steps[-1] == 8


def test_a_state_survives_kill_at_any_time(tmp_path):
    state = tmp_path / "state.pt"
    codec = build(CodecConfig(channels=64, refiner_width=64))
    optimiser = torch.optim.AdamW(codec.parameters())
    assert codec.refiner is not None and codec.refiner.write.bias is not None
    writer = os.fork()
    if writer == 0:
        for step in itertools.count():
            torch.nn.init.constant_(codec.refiner.write.bias, step)
            training.save_state(state, codec, optimiser, step)
    try:
        deadline = time.monotonic() + 60
        while not state.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.1)
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
    step = training.load_state(state, codec, optimiser)
    assert (codec.refiner.write.bias == step).all()


@pytest.mark.parametrize("kept", [0, 10, 1000, -1])
def test_a_damaged_state_is_told(tmp_path, kept):
    training.train(msgspec.structs.replace(RECIPE, steps=1), tmp_path)
    state = tmp_path / "state.pt"
    state.write_bytes(state.read_bytes()[:kept])
    with pytest.raises(CorruptFile, match="state.pt can't be read"):
        training.train(RECIPE, tmp_path)


def test_the_state_of_another_codec_is_told(tmp_path):
    training.train(msgspec.structs.replace(RECIPE, steps=1), tmp_path)
    config = msgspec.structs.replace(RECIPE.codec, channels=13)
    with pytest.raises(CorruptFile, match="state.pt can't be read"):
        training.train(msgspec.structs.replace(RECIPE, codec=config), tmp_path)


def test_too_few_episodes(tmp_path):
    recording = msgspec.structs.replace(RECORDING, episodes=8, held_out=7)
    recipe = msgspec.structs.replace(RECIPE, recording=recording)
    with pytest.raises(InputError, match="has 7 episodes, 7 are held out"):
        training.train(recipe, tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"batch": 0}, {"fit_frames": 0}, {"steps": -1}, {"learning_rate": 0.0}]
    + [{"latent_noise": -0.1}],
)
def test_recipes_that_make_no_sense(change):
    with pytest.raises(ConfigError, match="A recipe needs"):
        msgspec.structs.replace(RECIPE, **change).__post_init__()


def test_the_shipped_recipe_reads():
    path = Path(training.__file__).parent / "recipes" / "codec.toml"
    recipe = load(path, CodecRecipe)
    assert recipe.codec.near == 0.75 and recipe.steps >= 0


def test_the_schedule_rises_holds_and_falls_to_nothing():
    rates = [training.schedule(step, 1000) for step in range(1, 1001)]
    assert rates[0] == 1 / training.WARMUP and max(rates) == 1
    assert rates[training.WARMUP : 499] == [1.0] * (499 - training.WARMUP)
    assert 0 < rates[-1] < 0.003
    assert sorted(rates[500:], reverse=True) == rates[500:]


def test_distance_is_zero_only_for_the_truth_and_dislikes_lost_edges():
    truth = torch.zeros(1, 4, 8, 8)
    truth[..., 4:] = 1
    assert training.distance(truth, truth) == 0
    offset, blurred = truth + 0.1, truth.clone()
    blurred[..., 3:5] = 0.5
    blur = training.distance(blurred, truth) - (blurred - truth).abs().mean()
    assert training.distance(offset, truth) < blur + (blurred - truth).abs().mean()


def test_psnr_of_a_known_error():
    truth = torch.zeros(2, 4, 8, 8)
    image = truth.clone()
    image[:, :3] += 0.2
    image[:, 3] -= 0.02
    np.testing.assert_allclose(training.psnr(image, truth), (20, 40), atol=1e-3)
