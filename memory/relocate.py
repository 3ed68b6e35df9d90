"""A cached span in another place and another context: exact rotation, and a low-rank patch.

What a key says of its own token does not depend on where it stands, so it is rotated from its raw
form. What it took from the frames around it does; the patch stands for that difference.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from worldrt.errors import ConfigError
from worldrt.kernels.rope import Rope, rotate


class Patch(NamedTuple):
    """A linear correction of low rank for each head: x becomes x + (x down) up.

    Source: Kamera (arXiv 2606.23581), low-rank conditioning patch stored with a chunk. Only its
    abstract was at hand; this form, which fits any selection of the span's tokens, is ours.
    """

    down: Tensor
    """[..., H, D, r]"""
    up: Tensor
    """[..., H, r, D]"""

    def mend(self, tokens: Tensor) -> Tensor:
        """Correct raw keys, or values, [..., L, H, D]."""
        inner = torch.einsum("...LHD,...HDR->...LHR", tokens, self.down.type_as(tokens))
        return tokens + torch.einsum("...LHR,...HRD->...LHD", inner, self.up.type_as(tokens))


def fit_patch(stale: Tensor, fresh: Tensor, rank: int) -> Patch:
    """The patch that brings a span closest to what it would be in its new context.

    Least squares in float64: of all maps of this rank it leaves the smallest sum of squares over
    the span's tokens. It is fitted beside the rollout, never in a pass.

    Args:
        stale: [..., L, H, D] raw keys, or values, as they were cached.
        fresh: [..., L, H, D] the same tokens encoded in the new context.
        rank: 0 to D; at D the fit is as close as any linear map's.

    Raises:
        ConfigError: the rank is out of range.

    Source: Eckart and Young, The approximation of one matrix by another of lower rank, applied to
    the fitted values of the full-rank solution.
    """
    channels = stale.shape[-1]
    if not 0 <= rank <= channels:
        raise ConfigError(f"A patch of {channels} channels has rank 0 to {channels}, got {rank}.")
    before, after = (tokens.double().transpose(-3, -2) for tokens in (stale, fresh))
    full = torch.linalg.pinv(before) @ (after - before)  # [..., H, D, D]
    _, _, directions = torch.linalg.svd(before @ full, full_matrices=False)
    up = directions[..., :rank, :]
    return Patch((full @ up.mT).type_as(stale), up.type_as(stale))


def relocate(
    raw: Tensor,
    rope: Rope,
    positions: Sequence[float],
    tokens: Tensor,
    patch: Patch | None = None,
) -> Tensor:
    """Place raw keys of a span's tokens; each keeps its own row and column.

    Args:
        raw: [..., L, H, D].
        rope: of the span's grid.
        positions: temporal position of each of the span's frames.
        tokens: [..., L] which token of the span each is, frame-major.
        patch: mends the keys first.

    Returns:
        [..., L, H, D] rotated.

    Source: Kamera (arXiv 2606.23581), exact re-rotation to any position.
    """
    table = rope.table(positions, raw.device)[tokens]  # [..., L, 1, D / 2]
    return rotate(patch.mend(raw) if patch else raw, table)
