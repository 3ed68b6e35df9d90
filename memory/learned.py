"""The learned packer: a block's latents become a few tokens, by two branches that are added.

One branch is the block itself, small: decoded, shrunk, encoded and embedded again by the world's
own parts, outside of this room. It is right on average and knows nothing fine. The other is a
convolution over the latents that learns what the first one loses; untrained it adds nothing.
"""

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool3d

from worldrt.config import PackerConfig
from worldrt.errors import ShapeError
from worldrt.memory.compress import Grid, centres

STRIDES = ((1, 2, 2), (2, 2, 2), (2, 1, 1), (1, 1, 1))
"""Frames, rows and columns a stage; kernels of 3 with a border of 1 take blocks of any size."""


class LearnedPacker(nn.Module):
    """Packs a block into as many tokens as its grid has cells, whatever the block's size.

    Args:
        config: width and cells.
        channels: of the latents, C.
        dim: width of the model, E.

    Source: PackForcing, dual-branch compression of the middle partition.
    """

    def __init__(self, config: PackerConfig, channels: int, dim: int) -> None:
        super().__init__()
        self.cells = config.cells
        widths = (channels, *(config.width for _ in STRIDES))
        stages = [
            nn.Sequential(nn.Conv3d(a, b, 3, stride, padding=1), nn.SiLU())
            for a, b, stride in zip(widths, widths[1:], STRIDES, strict=False)
        ]
        self.stages = nn.Sequential(*stages)
        self.out = nn.Linear(config.width, dim)
        # Training starts from the small block alone.
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    @property
    def tokens(self) -> int:
        """Tokens of a packed block, P."""
        return self.cells.time * self.cells.rows * self.cells.columns

    def grid(self, frames: int, rows: int, columns: int) -> Grid:
        """Where the packed tokens of a block of `frames` x `rows` x `columns` tokens stand."""
        return Grid(
            centres(frames, self.cells.time),
            centres(rows, self.cells.rows),
            centres(columns, self.cells.columns),
        )

    def forward(self, latents: Tensor, small: Tensor) -> Tensor:
        """Pack a block.

        Args:
            latents: [B, T, C, h, w] clean.
            small: [B, P, E] tokens of the same block at low resolution.

        Returns:
            [B, P, E] tokens, frame-major, then row, then column, as `grid` says.

        Raises:
            ShapeError: `small` holds another number of tokens.
        """
        if small.shape[:2] != (len(latents), self.tokens):
            expected = f"[{len(latents)}, {self.tokens}, E], a token a cell"
            raise ShapeError("small", small.shape, expected)
        maps = self.stages(latents.transpose(1, 2))  # [B, width, ...]
        cells = adaptive_avg_pool3d(maps, (self.cells.time, self.cells.rows, self.cells.columns))
        return small + self.out(cells.flatten(2).transpose(1, 2))
