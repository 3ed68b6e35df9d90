"""Three-axis rotary positions: angles on the host in float64, rotation of raw queries and keys.

A head of D channels is D/2 complex numbers (adjacent channels 2i, 2i+1): the first share turns with
the latent frame, the second with the row, the third with the column. Angles are computed per block
from float64 positions, so that there is no table to run out of and no drift at frame one million.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

THETA = 10_000.0


def split_pairs(head_dim: int) -> tuple[int, int, int]:
    """Complex pairs of the time, row and column axes; they add up to head_dim / 2.

    Source: Wan2.1 (arXiv 2503.20314), released code: D - 4(D // 6), 2(D // 6), 2(D // 6) channels.
    """
    side = head_dim // 6
    return head_dim // 2 - 2 * side, side, side


def frequencies(pairs: int) -> NDArray[np.float64]:
    """Radians per unit of position of each pair of one axis, [pairs]: THETA^(-i / pairs)."""
    return THETA ** (-np.arange(pairs, dtype=np.float64) / pairs)


class Rope:
    """Rotary tables for tokens on a fixed grid of rows and columns.

    Args:
        head_dim: channels of a head, D.
        rows: [h] row position of each token row; fractions stand between rows (pooled tokens).
        columns: [w] column position of each token column.

    Source: RoFormer (arXiv 2104.09864) section 3.2; axis split of Wan2.1.
    """

    def __init__(self, head_dim: int, rows: Sequence[float], columns: Sequence[float]) -> None:
        time, row, column = (frequencies(pairs) for pairs in split_pairs(head_dim))
        row_angles = np.repeat(np.outer(rows, row), len(columns), axis=0)
        column_angles = np.tile(np.outer(columns, column), (len(rows), 1))
        self._time = time
        self._cells = _turns(np.concatenate([row_angles, column_angles], axis=1))
        self._placed: dict[torch.device | None, Tensor] = {}

    @classmethod
    def of_grid(cls, head_dim: int, rows: int, columns: int) -> "Rope":
        """The table of a regular grid: rows 0..rows-1, columns 0..columns-1."""
        return cls(head_dim, range(rows), range(columns))

    @property
    def tokens(self) -> int:
        """Tokens of one frame, h * w."""
        return len(self._cells)

    @property
    def pairs(self) -> int:
        """Complex pairs of the temporal axis."""
        return len(self._time)

    def table(self, frames: Sequence[float], device: torch.device | None = None) -> Tensor:
        """Unit complex numbers that rotate the tokens of `frames`.

        Args:
            frames: [T] temporal positions, any real number.
            device: where the table is put.

        Returns:
            [T * h * w, 1, D / 2] complex64, frame-major, then row, then column.
        """
        return self.spread(self.times(frames, device))

    def times(self, frames: Sequence[float], device: torch.device | None = None) -> Tensor:
        """Unit complex numbers of the temporal axis alone, [T, pairs] complex64."""
        return torch.from_numpy(_turns(np.outer(frames, self._time))).to(device)

    def cells(self, device: torch.device | None = None) -> Tensor:
        """Unit complex numbers of rows and columns, [h * w, pairs] complex64; made once."""
        if device not in self._placed:
            self._placed[device] = torch.from_numpy(self._cells).to(device)
        return self._placed[device]

    def spread(self, times: Tensor) -> Tensor:
        """The table of whole frames: temporal turns [T, pairs] by rows and columns; see `table`."""
        cells = self.cells(times.device)
        count, tokens = len(times), len(cells)
        table = times.new_empty(count, tokens, 1, times.shape[1] + cells.shape[1])
        table[..., : times.shape[1]] = times[:, None, None]
        table[..., times.shape[1] :] = cells[:, None]
        return table.flatten(0, 1)


def _turns(angles: NDArray[np.float64]) -> NDArray[np.complex64]:
    return np.exp(1j * angles).astype(np.complex64)


def rotate(raw: Tensor, table: Tensor) -> Tensor:
    """Turn raw queries or keys to their positions, in float32, result in the input's dtype.

    Args:
        raw: [..., L, H, D] after their norm.
        table: [L, 1, D / 2] complex64 from `Rope.table`.

    Returns:
        [..., L, H, D].
    """
    pairs = torch.view_as_complex(raw.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * table).flatten(-2).type_as(raw)


def turn_frames(raw: Tensor, times: Tensor, out: Tensor) -> None:
    """Write the temporal channels of frames that stand elsewhere now; the others are left.

    A frame that moves in time turns by its temporal pairs alone, so nothing else is touched: 22 of
    64 pairs for a head of 128 channels.

    Args:
        raw: [..., T, F, H, D] raw keys, or only their temporal channels.
        times: [..., T, pairs] complex64 from `Rope.times`.
        out: [..., T, F, H, D], whose row and column channels are turned already.
    """
    _turn(raw, times[..., None, None, :], out, slice(0, 2 * times.shape[-1]))


def turn_cells(raw: Tensor, cells: Tensor, out: Tensor) -> None:
    """Write the row and column channels of frames; the temporal ones are left.

    Args:
        raw: [..., F, H, D] raw keys.
        cells: [F, pairs] complex64 from `Rope.cells`.
        out: [..., F, H, D].
    """
    _turn(raw, cells[:, None], out, slice(raw.shape[-1] - 2 * cells.shape[-1], None))


def _turn(raw: Tensor, turns: Tensor, out: Tensor, channels: slice) -> None:
    pairs = torch.view_as_complex(raw[..., channels].float().unflatten(-1, (-1, 2)))
    target = out[..., channels]
    if target.dtype == torch.float32:
        torch.mul(pairs, turns, out=torch.view_as_complex(target.unflatten(-1, (-1, 2))))
    else:
        target.copy_(torch.view_as_real(pairs * turns).flatten(-2))
