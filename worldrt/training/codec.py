"""Training of a world's codec: the patch basis in closed form, then what is learned by descent.

Every step draws its frames and its errors from a generator seeded by (seed, step), so a resumed run
goes on exactly as the unbroken one would have, and a checkpoint holds no generator.
"""

import io
import logging
import pickle
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from worldrt.checkpoints.files import write_bytes, write_tensors
from worldrt.codec import Codec, PatchCodec, build, unpack
from worldrt.config import CodecConfig, Config, check
from worldrt.errors import CorruptFile
from worldrt.training.curves import Curves, strip
from worldrt.training.recording import Recording
from worldrt.training.remembered import Remembered, Walks, flawed_latents

log = logging.getLogger(__name__)

WARMUP = 50
"""Steps over which the learning rate rises."""
FALL = 0.5
"""Share of the steps, at the end, over which it falls to 0."""


class CodecRecipe(Config, frozen=True, kw_only=True):
    """All that decides a codec's training."""

    codec: CodecConfig
    recording: Recording
    steps: int
    batch: int
    """Frames a step, each of another moment."""
    learning_rate: float
    fit_frames: int = 2048
    """Frames that the patch basis is taken from."""
    latent_noise: float = 0.3
    """Largest deviation of the noise added to latents."""
    seed: int = 0
    report_seconds: float = 60.0
    """Time between two checkpoints with held-out figures and pictures."""
    device: str = "cpu"

    def __post_init__(self) -> None:
        check(
            min(self.batch, self.fit_frames) > 0 and self.steps >= 0,
            "A recipe needs batch and fit_frames of at least 1 and steps of at least 0, got "
            f"{self.batch}, {self.fit_frames} and {self.steps}.",
        )
        check(
            self.learning_rate > 0 and self.latent_noise >= 0,
            "A recipe needs a positive learning_rate and a latent_noise of at least 0, got "
            f"{self.learning_rate} and {self.latent_noise}.",
        )


def train(recipe: CodecRecipe, run: Path) -> Codec:
    """Train the recipe's codec, going on where a run in the same folder stopped.

    The folder receives `state.pt` (to resume), `codec.safetensors` (the result), `curves.jsonl`,
    `curves.png` and `strip.png`.

    Args:
        recipe: what to train on what.
        run: folder of the run.

    Returns:
        The trained codec on the recipe's device, in evaluation mode.

    Raises:
        InputError: the episodes are too few.
        CorruptFile: the run's state can't be read.
    """
    walks = Walks(recipe.recording.open(), recipe.recording.held_out, recipe.codec.near)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        codec = build(recipe.codec).to(recipe.device)
    learned = list(codec.parameters())
    steps = recipe.steps if learned else 0
    # As a group, for that may be empty: a patch codec without a refiner has nothing to learn.
    groups = [{"params": learned}]
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=1e-4)
    state = run / "state.pt"
    step = load_state(state, codec, optimiser) if state.exists() else 0
    if not state.exists() and isinstance(codec, PatchCodec):
        codec.fit(walks.frames(recipe.fit_frames))
        log.info("basis of %s components from %s frames", codec.channels, recipe.fit_frames)
    curves = Curves(run, step)
    held_out = walks.held_out(np.random.default_rng(recipe.seed)).to(recipe.device)
    reported = time.monotonic()
    losses: list[float] = []
    while step < steps:
        step += 1
        rng = np.random.default_rng([recipe.seed, step])
        batch = walks.draw(recipe.batch, rng).to(recipe.device)
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * schedule(step, steps)
        codec.train()
        loss = _loss(codec, batch, recipe.latent_noise, rng)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        codec.eval()
        losses.append(loss.item())
        if time.monotonic() - reported > recipe.report_seconds:
            save_state(state, codec, optimiser, step)
            _report(codec, held_out, recipe, run, curves, step, float(np.mean(losses)))
            reported, losses = time.monotonic(), []
    save_state(state, codec, optimiser, step)
    write_tensors(run / "codec.safetensors", codec.state_dict())
    _report(codec, held_out, recipe, run, curves, step, float(np.mean(losses or [np.nan])))
    curves.draw()
    return codec


def schedule(step: int, steps: int) -> float:
    """Share of the learning rate at a step from 1 to steps: a rise, a plateau, a fall to 0."""
    return min(1.0, step / WARMUP, (steps - step + 1) / (FALL * steps + 1))


def distance(image: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute and squared error, and absolute error of the gradients, which blur can't buy.

    Args:
        image: [F, 4, Y, X].
        truth: [F, 4, Y, X].
    """
    error = image - truth
    loss = error.abs().mean() + error.square().mean()
    return loss + error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()


def psnr(image: Tensor, truth: Tensor) -> tuple[float, float]:
    """Peak signal to noise ratio of RGB and of inverse depth, dB, over all frames.

    Args:
        image: [F, 4, Y, X], clipped to [-1, 1] first.
        truth: [F, 4, Y, X].
    """
    error = (image.clamp(-1, 1) - truth).square().double() / 4
    rgb, depth = error[:, :3].mean(), error[:, 3].mean()
    return -10 * rgb.log10().item(), -10 * depth.log10().item()


def save_state(path: Path, codec: Codec, optimiser: torch.optim.Optimizer, step: int) -> None:
    """Write what a run needs to go on; a kill while writing leaves the state before.

    Args:
        path: the file.
        step: steps done.
    """
    content = io.BytesIO()
    state = {"codec": codec.state_dict(), "optimiser": optimiser.state_dict(), "step": step}
    torch.save(state, content)
    write_bytes(path, content.getvalue())


def load_state(path: Path, codec: Codec, optimiser: torch.optim.Optimizer) -> int:
    """Take up the state that `save_state` wrote; returns the steps done.

    Raises:
        CorruptFile: the file is damaged or belongs to another codec.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        codec.load_state_dict(state["codec"])
        optimiser.load_state_dict(state["optimiser"])
        return state["step"]
    except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        raise CorruptFile(path, why) from error


def _loss(codec: Codec, batch: Remembered, noise: float, rng: np.random.Generator) -> Tensor:
    """What the learned parts are to make small: the refiner's error, an autoencoder's own."""
    latents = codec.encode(batch.image)
    loss = latents.new_zeros(())
    if not isinstance(codec, PatchCodec):
        grain = torch.from_numpy(rng.standard_normal(latents.shape, np.float32)).to(latents)
        loss = loss + distance(codec.decode(latents + noise * grain), batch.image)
    if codec.refiner is not None:
        flawed = _flawed(codec, latents.detach(), batch, noise, rng)
        loss = loss + distance(codec.restore(flawed, batch.splat, batch.mask), batch.image)
    return loss


def _flawed(
    codec: Codec, latents: Tensor, batch: Remembered, noise: float, rng: np.random.Generator
) -> Tensor:
    """The batch's latents as a generator would have them."""
    trust = functional.avg_pool2d(batch.mask, codec.stride)
    hint = codec.encode(batch.splat)
    return flawed_latents(latents, hint, trust, codec.component_scale, noise, rng)


@torch.inference_mode()
def _report(
    codec: Codec,
    batch: Remembered,
    recipe: CodecRecipe,
    run: Path,
    curves: Curves,
    step: int,
    loss: float,
) -> None:
    """Measure and picture the held-out frames, always with the same errors."""
    image, splat, mask = batch
    latents = codec.encode(image)
    rng = np.random.default_rng(recipe.seed)
    flawed = _flawed(codec, latents, batch, recipe.latent_noise, rng)
    nothing = torch.zeros_like(mask)
    rows = {
        "decoded": codec.decode(latents),
        "restored": codec.restore(latents, splat, nothing),
        "with memory": codec.restore(latents, splat, mask),
        "flawed": codec.decode(flawed),
        "flawed, restored": codec.restore(flawed, splat, nothing),
        "flawed, with memory": codec.restore(flawed, splat, mask),
    }
    figures = {"loss": loss}
    for name, row in rows.items():
        figures[f"rgb dB/{name}"], figures[f"depth dB/{name}"] = psnr(row, image)
    curves.append(step, figures)
    log.info("step %s: %s", step, ", ".join(f"{k} {x:.3f}" for k, x in figures.items()))
    shown = {"truth": image, **rows, "memory": torch.where(mask > 0, splat, -1.0)}
    pictures = [_pictures(row[:: max(1, len(row) // 8)][:8], recipe) for row in shown.values()]
    strip(run / "strip.png", pictures, list(shown))


def _pictures(images: Tensor, recipe: CodecRecipe) -> list[NDArray[np.uint8]]:
    """RGB above inverse depth in grey."""
    rgb, depth = unpack(images, recipe.codec.near)
    grey = (255 * recipe.codec.near / depth).astype(np.uint8)[..., None].repeat(3, axis=-1)
    return list(np.concatenate([rgb, grey], axis=1))
