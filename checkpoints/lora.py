"""Low-rank changes of a transformer: opened strictly, merged into the weights as these are read.

Source: LoRA (arXiv 2106.09685), section 4.1; LongLive (arXiv 2509.22622) for the names.
"""

import re
from pathlib import Path
from typing import Literal, NamedTuple

from torch import Tensor

from worldrt.checkpoints.keymap import DIFFUSERS, WAN, Place
from worldrt.checkpoints.source import Source, read_json
from worldrt.errors import CheckpointError

OWNERS = ("base_model.model.", "transformer.", "diffusion_model.", "model.")
"""Prefixes that say whose the layers are; they carry no meaning."""
FACTOR = re.compile(r"(.+)\.lora_(A|B|down|up)(?:\.default)?\.weight")
ALPHA = re.compile(r"(.+)\.alpha")
SIDES: dict[str, Literal["down", "up"]] = {"A": "down", "down": "down", "B": "up", "up": "up"}


class Factors(NamedTuple):
    """The change of one weight is scale * up @ down."""

    down: Tensor
    """[rank, in]."""
    up: Tensor
    """[out, rank]."""
    scale: float


class Lora:
    """All changes of a file, by the place of the weight that each changes.

    Args:
        source: PEFT's names or diffusers'.
        alpha: the change is multiplied by alpha / rank; None: as the file or the
            `adapter_config.json` beside it says, and the rank where they are silent.

    Raises:
        CheckpointError: a name that is no factor of a layer, a factor without its counterpart, or
            two that can't be multiplied.
    """

    def __init__(self, source: Source, alpha: float | None = None) -> None:
        self.source = source
        self.digests: dict[Path, str] = {}
        """SHA-256 of its files."""
        if alpha is None:
            alpha = _configured_alpha(source)
        found: dict[Place, dict[str, Tensor]] = {}
        alphas: dict[Place, float] = {}
        for name, tensor in source.read(source.entries.keys(), self.digests):
            factor, told = FACTOR.fullmatch(name), ALPHA.fullmatch(name)
            match = factor or told
            place = _place(match[1]) if match else None
            if place is None:
                raise CheckpointError(
                    f"{source.place}: {name!r} is no factor of a layer of a Wan transformer; it is "
                    "a LoRA of another model."
                )
            if factor:
                found.setdefault(place, {})[SIDES[factor[2]]] = tensor
            else:
                alphas[place] = float(tensor)
        self._factors = {
            place: self._pair(place, pair, alphas.get(place, alpha))
            for place, pair in found.items()
        }

    @property
    def places(self) -> frozenset[Place]:
        """Of the weights that it changes."""
        return frozenset(self._factors)

    def merge(self, place: Place, weight: Tensor) -> Tensor:
        """`weight` with its change, in float32; as it is where there is none.

        Raises:
            CheckpointError: the weight has another shape than its change.
        """
        factors = self._factors.get(place)
        if factors is None:
            return weight
        change = factors.scale * (factors.up.float() @ factors.down.float())
        if change.shape != weight.shape:
            raise CheckpointError(
                f"{self.source.place} changes {place.name!r} by a matrix of {list(change.shape)}, "
                f"it has {list(weight.shape)}; it is a LoRA of a model of another size."
            )
        return weight.float() + change

    def _pair(self, place: Place, pair: dict[str, Tensor], alpha: float | None) -> Factors:
        where = f"{self.source.place}: the LoRA of {place.name!r}"
        if len(pair) < 2:
            raise CheckpointError(
                f"{where} has {len(pair)} of 2 factors, {next(iter(pair))}; it is incomplete."
            )
        down, up = pair["down"], pair["up"]
        if down.ndim != 2 or up.ndim != 2 or len(down) != up.shape[1]:
            raise CheckpointError(
                f"{where} has factors of {list(down.shape)} and {list(up.shape)}, which can't be "
                "multiplied; it is damaged."
            )
        rank = len(down)
        return Factors(down, up, 1.0 if alpha is None else alpha / rank)


def _place(layer: str) -> Place | None:
    for owner in OWNERS:
        layer = layer.removeprefix(owner)
    weight = f"{layer}.weight"
    return WAN.place(weight) or DIFFUSERS.place(weight)


def _configured_alpha(source: Source) -> float | None:
    path = source.files[0].parent / "adapter_config.json"
    if not path.is_file():
        return None
    settings = read_json(path)
    if settings.get("use_rslora") or settings.get("alpha_pattern"):
        raise CheckpointError(
            f"{path} scales each layer by a rule of its own (use_rslora or alpha_pattern), known "
            "is lora_alpha / rank; merge it with PEFT first."
        )
    alpha = settings.get("lora_alpha")
    return None if alpha is None else float(alpha)
