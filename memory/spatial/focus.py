"""How fast a thing turns, and how fast its colours go round: at the right rates it looks sharp.

Points of many sightings are unrolled onto a cylinder about the thing's upright axis, each turned
back by what the rates say of its moment. The rates at which the points that fall together agree
best in colour and in distance from the axis are the thing's own. Nothing is followed from frame to
frame, so nothing drifts.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

COARSE, FINE = (32, 6), (96, 12)
"""Directions and heights that the cylinder is divided into, in the first search and in the last."""
FEW = 768
"""Points that the first search reads."""
FASTEST = np.array([0.5, 0.12])
"""Radians and turns of hue a frame, at most."""
TURNED = np.array([0.35, 0.10])
"""Radians and turns of hue over all sightings, at least; less is taken for none."""
GAIN = 0.75
"""Share of the disagreement at rest that a rate must leave at most."""
COLOUR, VALUE, SHAPE = 2.0, 1.0, 2.5
"""Weights of chroma, value, and distance from the axis in heights of the thing."""


class Rates(NamedTuple):
    """What goes round by itself."""

    yaw: float
    """Radians a frame, positive to the right."""
    hue: float
    """Turns a frame."""


def focus(
    points: NDArray[np.float64], colours: NDArray[np.float32], time: NDArray[np.float64]
) -> Rates:
    """The rates at which a thing looks sharpest, 0 unless that is much sharper than at rest.

    Args:
        points: [P, 3] from the middle of its base, in heights of its own, y down.
        colours: [P, 3] hue (turns), chroma and value, 0 to 1.
        time: [P] frames.

    Source: after the contrast maximisation of Gallego, Rebecq, Scaramuzza, A unifying contrast
    maximization framework for event cameras, CVPR 2018.
    """
    rates = np.zeros(2)
    span = float(np.ptp(time)) if len(time) else 0.0
    if span < 4:
        return Rates(0.0, 0.0)
    samples = _unrolled(points, colours, time - time.mean())
    few = samples[:: -(-len(samples) // FEW)]
    steps = np.array([0.5 * math.tau / COARSE[0], 0.04]) / span
    rest = _blur(few, rates[None], COARSE)[0]
    grids = [
        np.arange(-fastest, fastest + step, step)
        for fastest, step in zip(FASTEST, steps, strict=True)
    ]
    costs = [_blur(few, _along(rates, axis, grid), COARSE) for axis, grid in enumerate(grids)]
    first = int(costs[1].min() < costs[0].min())
    for axis in (first, 1 - first):
        # The second of the two must explain what the first one has left.
        cost = _blur(few, _along(rates, axis, grids[axis]), COARSE) if rates.any() else costs[axis]
        if cost.min() < GAIN * rest:
            rest = cost.min()
            rates[axis] = grids[axis][np.argmin(cost)]
    rates = _sharpened(samples, rates, 2 * steps, COARSE)
    rates = _sharpened(samples, rates, steps, FINE)
    rates[np.abs(rates) * span < TURNED] = 0
    return Rates(float(rates[0]), float(rates[1]))


def _sharpened(
    samples: NDArray[np.float64],
    rates: NDArray[np.float64],
    steps: NDArray[np.float64],
    cells: tuple[int, int],
) -> NDArray[np.float64]:
    """Each rate that is not 0 where it is sharpest within a step, as a parabola tells."""
    rates = rates.copy()
    for which in np.flatnonzero(rates).tolist():
        reach = steps[which] * np.linspace(-1, 1, 13)
        blur = _blur(samples, _along(rates, which, rates[which] + reach), cells)
        rates[which] += _lowest(reach, blur)
    return rates


def _lowest(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Where the parabola through all points is lowest, or the lowest point if that is outside."""
    bend, slope, _ = np.polyfit(x, y, 2)
    inside = bend > 0 and abs(slope) < -2 * bend * x[0]
    return float(-slope / (2 * bend) if inside else x[np.argmin(y)])


def _along(
    rates: NDArray[np.float64], axis: int, values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[N, 2] the rates with one of them set to each value."""
    table = np.tile(rates, (len(values), 1))
    table[:, axis] = values
    return table


def _unrolled(
    points: NDArray[np.float64], colours: NDArray[np.float32], time: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[P, 7] direction (turns), height, time, hue (turns), chroma, value, distance from axis."""
    x, y, z = points.T
    return np.stack(
        [
            np.arctan2(x, z) / math.tau,
            np.clip(-y, 0, 1 - 1e-9),
            time,
            colours[:, 0],
            COLOUR * colours[:, 1],
            VALUE * colours[:, 2],
            SHAPE * np.hypot(x, z),
        ],
        axis=1,
    ).astype(np.float64)


def _blur(
    samples: NDArray[np.float64], rates: NDArray[np.float64], cells: tuple[int, int]
) -> NDArray[np.float64]:
    """[N] mean variance within the cells at each pair of rates."""
    return _blurs(samples, rates, cells[0], cells[1])


@njit(cache=True, nogil=True)
def _blurs(samples, rates, columns, rows):  # pragma: no cover
    blurs = np.empty(len(rates))
    size = len(samples)
    first, share = np.empty((size, 2), np.int64), np.empty(size)
    fields, mean = np.empty((size, 4)), np.empty(4)
    for n in range(len(rates)):
        turning, changing = rates[n, 0] / math.tau, rates[n, 1]
        total = np.zeros((columns * rows, 5))
        for p in range(size):
            direction, height, time, hue, chroma, value, reach = samples[p]
            place = (direction - turning * time) % 1.0 * columns
            column, row = int(place), int(height * rows)
            # Shared between two cells: a turn of less than one shows.
            share[p] = place - column
            first[p, 0] = column % columns * rows + row
            first[p, 1] = (column + 1) % columns * rows + row
            angle = math.tau * (hue - changing * time)
            fields[p, 0], fields[p, 1] = chroma * math.cos(angle), chroma * math.sin(angle)
            fields[p, 2], fields[p, 3] = value, reach
            for side in range(2):
                part = share[p] if side == 1 else 1 - share[p]
                cell = total[first[p, side]]
                cell[0] += part
                for field in range(4):
                    cell[1 + field] += part * fields[p, field]
        away, count = 0.0, 0
        for p in range(size):
            left, right = total[first[p, 0]], total[first[p, 1]]
            if left[0] + right[0] < 2:
                continue  # alone, it would agree with itself
            count += 1
            for field in range(4):
                mean[field] = (1 - share[p]) * left[1 + field] / max(left[0], 1e-9)
                mean[field] += share[p] * right[1 + field] / max(right[0], 1e-9)
                away += (fields[p, field] - mean[field]) ** 2
        blurs[n] = away / count + 1e-6 if count > 0 else math.inf
    return blurs
