"""`worldrt train world`: data, steps, checkpoints, curves and strips, until the time is spent."""

from pathlib import Path

import torch

from worldrt.checkpoints.files import read_tensors, write_bytes, write_tensors
from worldrt.codec import build
from worldrt.config import dump
from worldrt.model import Transformer
from worldrt.training.loop import descend
from worldrt.training.samples import Samples, held_out
from worldrt.training.trainer import Trainer, WorldRecipe


def train(recipe: WorldRecipe, run: Path) -> Transformer:
    """Train the recipe's generator, going on where a run in the same folder stopped.

    The folder receives `state.pt` (to resume), `model.safetensors` (averaged weights),
    `world.toml`, `curves.jsonl`, `curves.png` and `strip.png`.

    Args:
        recipe: what to train on what.
        run: folder of the run, made if need be.

    Returns:
        The averaged model, in evaluation mode.

    Raises:
        InputError: data or codec are missing.
        CorruptFile: the run's state can't be read.
    """
    torch.set_num_threads(recipe.threads)
    run.mkdir(parents=True, exist_ok=True)
    write_bytes(run / "world.toml", dump(recipe.world).encode())
    device = torch.device(recipe.device)
    codec = build(recipe.world.codec)
    codec.load_state_dict(read_tensors(Path(recipe.codec)))
    torch.manual_seed(recipe.seed)
    trainer = Trainer(recipe, codec, device)
    state = run / "state.pt"
    if state.exists():
        trainer.load(state)
    probe = held_out(recipe.recording, recipe.world, codec)
    samples = Samples(recipe.recording, recipe.world, codec, recipe.seed + trainer.progress.step)
    batches = samples.batches(recipe.batch, recipe.loaders)
    descend(trainer, batches, recipe, run, lambda: trainer.look(probe, codec, run))
    write_tensors(run / "model.safetensors", trainer.averaged.state_dict())
    return trainer.averaged
