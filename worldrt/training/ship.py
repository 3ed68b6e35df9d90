"""From a finished run to a world that people load: `worldrt train ship`."""

from pathlib import Path

import torch

from worldrt.checkpoints.files import read_tensors, write_bytes, write_tensors
from worldrt.config import WorldConfig, dump, load
from worldrt.errors import OutputError
from worldrt.geometry.camera import Camera
from worldrt.starts import MOST_CONTEXT, from_maze, write_start

STARTS = {"hall": 14, "banners": 6, "brick": 16}
"""Starts by name, each a look around the held-out maze of this seed."""


def ship(run: Path, codec: Path, out: Path) -> None:
    """Write `world.toml`, `model.safetensors` (half precision), `codec.safetensors` and the starts.

    Args:
        run: folder of a world's training.
        codec: the codec's safetensors that it was trained with.
        out: the world's folder, made if need be.

    Raises:
        InputError: the run is not finished.
        BackendUnavailable: ViZDoom is not installed, which the starts are seen with.
        OutputError: `out` can't be written.
    """
    config = load(run / "world.toml", WorldConfig)
    model = read_tensors(run / "model.safetensors")
    try:
        (out / "starts").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} can't be made ({error.strerror}).") from error
    camera = Camera.centred(config.camera)
    for name, seed in STARTS.items():
        start = from_maze(str(seed), camera, config.motion, MOST_CONTEXT)
        write_start(out / "starts" / f"{name}.mkv", start)
    halves = {name: tensor.to(torch.float16) for name, tensor in model.items()}
    write_tensors(out / "model.safetensors", halves)
    write_tensors(out / "codec.safetensors", read_tensors(codec))
    write_bytes(out / "world.toml", dump(config).encode())
