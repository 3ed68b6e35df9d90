"""What things that move look like: points as they were seen, and when.

A point stays as it was measured; where it belongs at another moment follows from what is known of
the thing's movement by then, so that a law found late sharpens what was seen early. Of each
sighting only so many points are kept, and the newest sightings push out the oldest.
"""

import numpy as np
from numpy.typing import NDArray

SAMPLE = 192
"""Points kept of a sighting."""
GOLDEN = 0.6180339887498949
"""Spreads the points that are kept over the sightings."""


class Figures:
    """The points of a fixed number of things, a ring of at most `points` each.

    Args:
        count: things.
        points: of each.
    """

    def __init__(self, count: int, points: int) -> None:
        self.capacity = points
        self._written = np.zeros(count, np.int64)  # ever
        self._position = np.zeros((count, points, 3), np.float32)
        self._colour = np.zeros((count, points, 3), np.uint8)
        self._depth = np.zeros((count, points), np.float32)
        self._sighting = np.zeros((count, points), np.int32)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All there is, by name; writing into one changes the figures."""
        return {
            "figure_written": self._written,
            "figure_position": self._position,
            "figure_colour": self._colour,
            "figure_depth": self._depth,
            "figure_sighting": self._sighting,
        }

    def clear(self, slot: int) -> None:
        """Forget what one thing looks like."""
        self._written[slot] = 0

    def add(
        self,
        slot: int,
        sighting: int,
        points: NDArray[np.float64],
        colours: NDArray[np.float32],
        depth: NDArray[np.float64],
    ) -> None:
        """Keep some of what a sighting shows.

        Args:
            slot: whose.
            sighting: which, counted from 0.
            points: [P, 3] metres from where the thing was measured to be, in the world's axes.
            colours: [P, 3] RGB, 0 to 1.
            depth: [P] metres at which they were seen.
        """
        kept = min(len(points), SAMPLE, self.capacity)
        chosen = ((np.arange(kept) + GOLDEN * sighting % 1) * (len(points) / kept)).astype(int)
        at = (int(self._written[slot]) + np.arange(kept)) % self.capacity
        self._position[slot, at] = points[chosen]
        self._colour[slot, at] = np.rint(255 * np.clip(colours[chosen], 0, 1))
        self._depth[slot, at] = depth[chosen]
        self._sighting[slot, at] = sighting
        self._written[slot] += kept

    def of(
        self, slot: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32], NDArray[np.int32]]:
        """Position [P, 3], colour [P, 3], depth [P] and sighting [P] of a thing's points, views."""
        size = min(int(self._written[slot]), self.capacity)
        return (
            self._position[slot, :size],
            self._colour[slot, :size],
            self._depth[slot, :size],
            self._sighting[slot, :size],
        )
