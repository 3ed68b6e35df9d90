"""The law by which a thing moves and grows: where it will be when nobody looks.

Its place and its height follow one law: they stay, they go on evenly, or they repeat with one
period, as a sine, as a triangle wave (to and fro at an even pace), or with some harmonics. The
least Bayesian information criterion chooses, so that a thing that stands still stays where it is,
and what repeats never runs away.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CHANNELS = 4
"""x, y, z of the middle of its base, and its height; metres."""
LOWEST = 0.05
"""Metres of height that are always left."""
NOISE = 0.005
"""Metres to which each is measured at best: a law that explains less explains nothing."""
PAUSE = 8
"""Frames without a sighting after which another visit begins."""
LEAST = 6
"""Sightings of a visit before any law but rest is believed."""
MOVED = 0.25
"""Metres that a thing has gone in a visit, at least, if it is to go on: as one walks round what
stands still, the middle of what is seen of it moves a little."""
CYCLES = 1.1
"""Periods that must have been watched before a period is believed."""
SHORTEST = 4.0
"""Frames of the shortest period looked for."""
LONGEST = 128
"""Frames of a visit that the first search for a period reads."""
WAVES = (1, 2, 5, 6)
"""Numbers of waves tried: a triangle, a sine, a triangle with two harmonics, three harmonics."""
PHASES = 16
"""Phases of a triangle wave tried in the first search, over half a turn."""
SWING = 0.08
"""Metres of amplitude of a wave that is believed, at least."""
NUISANCE = 4
"""Waves beside the law's own while its period is sought: what is measured of a thing is bent by
where it is, which repeats as it does."""
UNEXPLAINED = 0.7
"""Share of its spread that a wave leaves of a channel which does not follow it."""
FINEST = 8
"""Times that a search is repeated around its best, twice as finely."""
FARTHER = 2.0
"""Times that a visit is longer than the last one if its law is asked."""
HOLDS = 3.0
"""Times its error by which a law may miss what a later glance saw, besides SWING."""
DRIFT = 0.01
"""Metres a frame by which a place grows uncertain while unseen."""


class Law(NamedTuple):
    """Constant + slope t + waves of one period."""

    begun: float
    """Frame of the first sighting that it explains."""
    since: float
    """Frame at which t is 0: the last of them."""
    constant: NDArray[np.float64]
    """[4]"""
    slope: NDArray[np.float64]
    """[4] a frame."""
    horizon: float
    """Frames after the last sighting for which a straight movement is believed to go on."""
    rate: float
    """Periods a frame."""
    phase: float
    """Of the triangle wave, turns."""
    waves: NDArray[np.float64]
    """[4, W] amplitudes: of the triangle if W is odd, of the cosines, of the sines."""
    error: NDArray[np.float64]
    """[4] root mean square of what the law leaves unexplained."""

    def at(self, frames: NDArray[np.float64]) -> NDArray[np.float64]:
        """[N, 4] the channels at N frames."""
        time = frames - self.since
        # A thing does not go on through walls for ever.
        along = np.minimum(time, self.horizon)[:, None]
        basis = _waves(time, np.array([[self.rate, self.phase]]), self.waves.shape[1])[0]
        values = self.constant + self.slope * along + basis @ self.waves.T
        values[:, 3] = np.maximum(values[:, 3], LOWEST)
        return values

    def spread(self, frame: float) -> float:
        """Metres by which its place may be wrong."""
        unseen = max(0.0, frame - self.since)
        return float(np.hypot(np.linalg.norm(self.error[:3]), DRIFT * unseen))


def still(history: NDArray[np.float64], weights: NDArray[np.float64]) -> Law:
    """The law of what stays: the mean of the sightings, see `fit`."""
    mean = np.average(history[:, 1:], axis=0, weights=weights)
    return Law(
        begun=float(history[0, 0]),
        since=float(history[-1, 0]),
        constant=mean,
        slope=np.zeros(CHANNELS),
        horizon=0.0,
        rate=0.0,
        phase=0.0,
        waves=np.zeros((CHANNELS, 1)),
        error=_mean_error(history[:, 1:] - mean, weights),
    )


def fit(history: NDArray[np.float64], weights: NDArray[np.float64]) -> Law:
    """The law that explains what was seen.

    Args:
        history: [N, 5] frame and the four channels of each sighting, frames rising.
        weights: [N, 4] of each of them, above 0: the variance of the best over its own.

    Source: Schwarz, Estimating the dimension of a model, 1978 (the criterion); VanderPlas,
    Understanding the Lomb-Scargle periodogram, 2018, section 6 (periods by least squares).
    """
    last, longest = _visits(history[:, 0])
    law = _fitted(history, weights, last)
    if longest.stop == last.stop:
        return law
    # A glance tells no law; that of a longer visit holds if it tells what the glance saw.
    older = _fitted(history[: longest.stop], weights[: longest.stop], longest)
    glance = history[last]
    away = older.at(glance[:, 0]) - glance[:, 1:]
    missed = np.sqrt(np.mean(weights[last] * away**2, axis=0))
    return older if np.all(missed < HOLDS * (older.error + NOISE) + SWING) else law


def _visits(frames: NDArray[np.float64]) -> tuple[slice, slice]:
    """Rows of the last visit, and of the longest one if that is far longer; frames [N] rising."""
    edges = [0, *(np.flatnonzero(np.diff(frames) > PAUSE) + 1).tolist(), len(frames)]
    visits = [slice(*pair) for pair in pairwise(edges)]
    longest = max(visits, key=lambda visit: frames[visit][-1] - frames[visit][0])
    spans = [frames[visit][-1] - frames[visit][0] for visit in (visits[-1], longest)]
    return visits[-1], longest if FARTHER * spans[0] < spans[1] else visits[-1]


def _fitted(history: NDArray[np.float64], weights: NDArray[np.float64], visit: slice) -> Law:
    """The law of the last visit of a history; those before it may sharpen its period."""
    since = history[-1, 0]
    time, values = history[:, 0] - since, history[:, 1:]
    near, seen, trust = time[visit], values[visit], weights[visit]
    if len(seen) < LEAST:
        return still(history[-1:], weights[-1:])
    rest = still(history[visit][-PAUSE:], trust[-PAUSE:])
    rest = rest._replace(
        begun=float(history[visit][0, 0]), error=_mean_error(seen - rest.constant, trust)
    )
    basis = np.stack([np.ones_like(near), near], axis=1)
    line, error = _least_squares(basis, seen, trust)
    straight = rest._replace(constant=line[0], slope=line[1], horizon=float(-near[0]), error=error)
    choices = [(_criterion(rest.error, trust, 1), rest)]
    if np.linalg.norm(line[1]) * -near[0] > MOVED:
        choices.append((_criterion(error, trust, 2), straight))
    # The last frames of a long visit suffice for a first guess.
    short = near > -LONGEST
    visit_sights = Sights(near[short], seen[short], trust[short])
    for waves in WAVES:
        found = _wave(Sights(time, values, weights), visit_sights, rest, waves)
        if found is not None and np.linalg.norm(found.waves) > SWING:
            terms = 1 + waves + (1 + waves % 2) / CHANNELS
            choices.append((_criterion(found.error, visit_sights.weights, terms), found))
    return min(choices, key=lambda choice: choice[0])[1]


class Sights(NamedTuple):
    """Sightings as the search for a wave reads them."""

    time: NDArray[np.float64]
    """[N] frames up to the last one, which is 0."""
    values: NDArray[np.float64]
    """[N, 4]"""
    weights: NDArray[np.float64]
    """[N, 4]"""


def _criterion(error: NDArray[np.float64], weights: NDArray[np.float64], terms: float) -> float:
    """Bayesian information criterion of a law of `terms` numbers a channel."""
    count = weights.sum(axis=0) ** 2 / (weights**2).sum(axis=0)
    floor = NOISE**2 / weights.mean(axis=0)
    return float(np.sum(count * np.log(error**2 + floor) + terms * np.log(count)))


def _mean_error(away: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """[4] root mean square of differences [N, 4]."""
    return np.sqrt(np.average(away**2, axis=0, weights=weights))


def _least_squares(
    basis: NDArray[np.float64], values: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients [K, 4], and the root mean square [4] of what they leave."""
    columns = [
        np.linalg.lstsq(basis * root[:, None], value * root, rcond=None)[0]
        for value, root in zip(values.T, np.sqrt(weights).T, strict=True)
    ]
    found = np.stack(columns, axis=1).astype(np.float64)
    return found, _mean_error(values - basis @ found, weights)


def _waves(time: NDArray[np.float64], laws: NDArray[np.float64], waves: int) -> NDArray[np.float64]:
    """[R, N, W] waves of R rates and phases [R, 2]; if W is odd, the first is a triangle."""
    turns = laws[:, None, :1] * time[:, None]
    angle = 2 * np.pi * turns * np.arange(1, waves // 2 + 1)
    triangle = 4 * np.abs((turns + laws[:, None, 1:]) % 1 - 0.5) - 1
    return np.concatenate([triangle[..., : waves % 2], np.cos(angle), np.sin(angle)], axis=2)


def _wave(sights: Sights, near: Sights, rest: Law, waves: int) -> Law | None:
    """The best law of so many waves of the last visit `near`; None: too little was seen for one."""
    time, span = sights.time, float(-near.time[0])
    if len(near.time) < 2 * (waves + NUISANCE) or CYCLES / span >= 1 / SHORTEST:
        return None
    slowest, step = CYCLES / span, 1 / (10 * span)
    law = _searched(near, np.arange(slowest, 1 / SHORTEST, step), rest, waves)
    if len(time) == len(near.time):
        return law
    # Earlier visits tell the period far more sharply, if the law held then too.
    fine = np.arange(-3 * step, 3 * step, 1 / (10 * -time[0]))
    whole = _searched(sights, np.maximum(law.rate + fine, slowest), rest, waves)
    return whole if np.all(whole.error < 1.5 * law.error + 2 * NOISE) else law


def _searched(sights: Sights, rates: NDArray[np.float64], rest: Law, waves: int) -> Law:
    """The law of least loss among all phases of evenly spaced rates, and then between them."""
    time, values, weights = sights
    # Told about the middle of the sightings, the phase hardly depends on the rate.
    middle = time[0] / 2
    first = 1 if waves % 2 else waves  # a triangle with others besides begins as one alone
    phases = np.arange(PHASES if waves % 2 else 1) / (2 * PHASES)  # then its sign changes
    step = np.array([rates[-1] - rates[0], 0]) / max(len(rates) - 1, 1)
    step[1] = 1 / (2 * PHASES) if waves % 2 else 0.0
    laws = _grid(rates, phases)
    about = sights._replace(time=time - middle)
    best = laws[np.argmin(_losses(about, laws, first))]
    for _ in range(FINEST):
        reach = np.linspace(-1, 1, 5)
        phases = best[1] + step[1] * (reach if waves % 2 else reach[:1])
        laws = _grid(np.maximum(best[0] + step[0] * reach, rates[0]), phases)
        best = laws[np.argmin(_losses(about, laws, waves + NUISANCE))]
        step /= 2
    law = best - [0, best[0] * middle]
    basis = np.concatenate([np.ones((len(time), 1)), _waves(time, law[None], waves)[0]], axis=1)
    found, error = _least_squares(basis, values, weights)
    mean = np.average(values, axis=0, weights=weights)
    spread = _mean_error(values - mean, weights)
    idle = error > UNEXPLAINED * spread
    found[0, idle], found[1:, idle], error[idle] = mean[idle], 0, spread[idle]
    return rest._replace(
        constant=found[0],
        rate=float(law[0]),
        phase=float(law[1]),
        waves=found[1:].T,
        error=error,
    )


def _grid(rates: NDArray[np.float64], phases: NDArray[np.float64]) -> NDArray[np.float64]:
    """[R, 2] each rate with each phase."""
    return np.stack(np.meshgrid(rates, phases, indexing="ij"), axis=-1).reshape(-1, 2)


def _losses(sights: Sights, laws: NDArray[np.float64], waves: int) -> NDArray[np.float64]:
    """[R] logarithm of what the waves of each law [R, 2] leave unexplained, over all channels."""
    all_waves, losses = _waves(sights.time, laws, waves), np.zeros(len(laws))
    shares, groups = np.unique(
        sights.weights / sights.weights.sum(axis=0), axis=1, return_inverse=True
    )
    floors = NOISE**2 / sights.weights.mean(axis=0)
    for group, share in enumerate(shares.T):
        values = sights.values[:, groups == group]
        root = np.sqrt(share)[:, None]
        basis = (all_waves - (share @ all_waves)[:, None]) * root
        away = (values - share @ values) * root
        square = np.einsum("rni,rnj->rij", basis, basis) + 1e-9 / len(share) * np.eye(waves)
        found = np.linalg.solve(square, np.einsum("rni,nc->ric", basis, away))
        left = np.sum((away - basis @ found) ** 2, axis=1)
        losses += np.log(left + floors[groups == group]).sum(axis=1)
    return losses
