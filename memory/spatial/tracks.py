"""What is remembered of each thing that moves: its sightings, its points, and what they tell.

A slot belongs to one thing until it is forgotten; the arrays never grow.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from worldrt.memory.spatial.colours import hue_chroma_value
from worldrt.memory.spatial.figures import Figures
from worldrt.memory.spatial.focus import Rates, focus
from worldrt.memory.spatial.fragments import Fragment
from worldrt.memory.spatial.motion import PAUSE, Law, fit, still
from worldrt.memory.spatial.posing import TRUSTED, Posed, posed, relative

HISTORY = 256
"""Sightings kept of each thing."""
RECENT = 5
"""Sightings that tell where a thing is in the next frame."""
WOBBLE = 0.15
"""Metres: the waves of a thing that turns are no movement when they are lower."""
WEIGHTS = [8, 9, 8, 9]
"""Columns of a sighting that weigh x, y, z and height."""
TONES = 12
"""Bins of a histogram of hues."""
NEWEST = 0.2
"""Share of the newest sighting in that histogram."""
PARTLY, UNTOLD = 0.04, 0.001
"""Weights of what is measured of a thing that is partly hidden, and of what its sighting does not
tell; 1 is that of a whole one."""
DEEP = 0.36
"""How far its axis lies behind the mean of what is seen of a thing, in its widths."""
BORN = 0.6
"""Existence of a new thing."""


class Known(NamedTuple):
    """All that the sightings of a thing tell about its movement."""

    law: Law
    rates: Rates


class Advance(Protocol):
    """What may tell a thing's state in the place of `motion.fit`: a generator that watches it."""

    def __call__(self, history: NDArray[np.float64], frame: float) -> NDArray[np.float64]:
        """[6] the state at a frame, as in `Belief`, from the sightings [N, 10]: frame, x, y, z,
        height, x and z of who saw it, pixels, weights of its place and of its height."""
        ...


class Tracks:
    """What is remembered of at most `capacity` things.

    Args:
        capacity: things.
        points: of each.
        advance: tells a thing's state while it is unseen; None: the law that fits its history.
    """

    def __init__(self, capacity: int, points: int, advance: Advance | None) -> None:
        self.used = np.zeros(capacity, np.bool_)
        """[E] slots in use; the other arrays are meaningless elsewhere."""
        self.names = np.zeros(capacity, np.int64)
        """[E] which thing, never used again."""
        self.seen = np.zeros(capacity, np.int64)
        """[E] frame of the last sighting, whole or not."""
        self.existence = np.zeros(capacity)
        """[E] 0 to 1."""
        self.tones = np.zeros((capacity, TONES))
        """[E, TONES] shares of its hues."""
        self.slim = np.zeros(capacity)
        """[E] width over height."""
        self.wholes = np.zeros(capacity, np.int64)
        """[E] sightings of it whole; without one, its width is what has been seen of it."""
        self.reach = np.zeros(capacity)
        """[E] half of what lies between its left and its right end, over height."""
        self._advance = advance
        self._figures = Figures(capacity, points)
        self._sightings = np.zeros(capacity, np.int64)
        self._history = np.zeros((capacity, HISTORY, 10))
        self._next = np.zeros(1, np.int64)
        self._known: dict[int, Known] = {}

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All there is, by name; writing into one changes the entities."""
        return {
            "used": self.used,
            "names": self.names,
            "sightings": self._sightings,
            "wholes": self.wholes,
            "seen": self.seen,
            "history": self._history,
            "existence": self.existence,
            "tones": self.tones,
            "slim": self.slim,
            "reach": self.reach,
            "next": self._next,
            **self._figures.arrays(),
        }

    def past(self, slot: int) -> NDArray[np.float64]:
        """[N, 10] the sightings of a thing, the oldest first."""
        count = int(self._sightings[slot])
        if count <= HISTORY:
            return self._history[slot, :count]
        return np.roll(self._history[slot], -(count % HISTORY), axis=0)

    def blind(self, slot: int, frame: int) -> int:
        """Frames between the last sighting that told where a thing is and this one."""
        return frame - int(self.past(slot)[-1, 0]) - 1

    def knowledge(self, slot: int) -> Known:
        """What a thing's sightings tell, found when it is first asked for after one."""
        if slot not in self._known:
            past = self.past(slot)
            law = fit(past[:, :5], past[:, WEIGHTS])
            position, colour, _, sighting = self._figures.of(slot)
            seen = self._history[slot, sighting % HISTORY]
            recent = seen[:, 0] >= law.begun
            position, seen = position[recent], seen[recent]
            tints = hue_chroma_value(colour[recent] / np.float32(255))
            rates = focus(relative(position, seen, law), tints, seen[:, 0])
            if rates.yaw and np.linalg.norm(law.waves) < WOBBLE:
                # As it turns, other sides of it are seen, which look like a movement.
                past = past[past[:, 0] >= law.begun]
                law = still(past[:, :5], past[:, WEIGHTS])
                rates = focus(relative(position, seen, law), tints, seen[:, 0])
            self._known[slot] = Known(law, rates)
        return self._known[slot]

    def state(self, slot: int, frame: float) -> NDArray[np.float64]:
        """[6] the state of a thing at a frame."""
        past = self.past(slot)
        if self._advance is not None:
            return self._advance(past, frame)
        law, rates = self.knowledge(slot)
        x, y, z, height = law.at(np.array([float(frame)]))[0]
        unseen = frame - law.since
        return np.array([x, y, z, rates.yaw * unseen, height, rates.hue * unseen])

    def posed(self, slot: int, state: NDArray[np.float64], eye: NDArray[np.float64]) -> Posed:
        """A thing's points in the world."""
        known = self.knowledge(slot)
        position, colour, depth, sighting = self._figures.of(slot)
        seen = self._history[slot, sighting % HISTORY]
        past, vague = self.past(slot), np.linalg.norm(known.law.error[:3]) > TRUSTED
        if vague or known.rates != (0.0, 0.0):
            # An error of the rates grows with time: what is long past would lie anywhere. And what
            # moves by no law that is known is shown as it was last seen.
            since = past[-1, 0] - PAUSE if vague else known.law.begun
            recent = seen[:, 0] >= since
            position, colour = position[recent], colour[recent]
            depth, seen = depth[recent], seen[recent]
        return posed(position, colour, depth, seen, known.law, known.rates, state, eye)

    def expected(self, slot: int, frame: int) -> NDArray[np.float64]:
        """[6] the state in which a thing is looked for: as it went on just now, or by its law."""
        past = self.past(slot)
        if frame - past[-1, 0] > PAUSE:
            return self.state(slot, frame)
        near = past[-RECENT:]
        near = near[near[:, 0] >= near[-1, 0] - PAUSE, :5]
        last = near[-1, 1:].copy()
        if len(near) >= 3:
            time = near[:, 0] - near[:, 0].mean()
            slope = time @ (near[:, 1:] - near[:, 1:].mean(axis=0)) / (time @ time)
            last += slope * (frame - near[-1, 0])
        return np.array([*last[:3], 0.0, last[3], 0.0])

    def create(self, fragment: Fragment, pose: NDArray[np.float64], frame: int) -> int:
        """A thing that was not known, in a free slot or in that of the one unseen the longest."""
        free = np.flatnonzero(~self.used)
        slot = int(free[0]) if len(free) else int(np.argmin(self.seen))
        self.used[slot] = True
        self.names[slot] = self._next[0]
        self._next += 1
        self._sightings[slot], self.seen[slot] = 0, frame
        self.existence[slot] = BORN
        self._figures.clear(slot)
        self.slim[slot] = self.reach[slot] = 0.0
        self.wholes[slot] = 0
        self.keep(slot, fragment, pose, frame, fragment.height)
        return slot

    def keep(
        self,
        slot: int,
        fragment: Fragment,
        pose: NDArray[np.float64],
        frame: int,
        height: float,
    ) -> None:
        """Write a sighting: where it is into the history, what it shows into the figure.

        Args:
            slot: whose.
            fragment: the sighting.
            pose: [4, 4] who saw it.
            frame: index.
            height: metres that the thing has if the sighting does not tell.
        """
        count, wholes = int(self._sightings[slot]), int(self.wholes[slot])
        # Its usual shape, for the width of one image is told less well than its height. Of a thing
        # that was never seen whole, the widest view.
        slim = fragment.width / fragment.height
        reach = (fragment.ends[1] - fragment.ends[0]) / 2 / fragment.height
        if fragment.whole:
            self.slim[slot] += (slim - self.slim[slot]) / min(wholes + 1, HISTORY)
            self.reach[slot] += (reach - self.reach[slot]) / min(wholes + 1, HISTORY)
            self.wholes[slot] += 1
        elif wholes == 0:
            self.slim[slot] = max(self.slim[slot], slim)
            self.reach[slot] = max(self.reach[slot], reach)
        left, right, top, bottom = fragment.seen
        tall = fragment.height if top and bottom else height
        place = self.place(slot, fragment, pose, height)
        weights = [
            1.0 if fragment.whole else PARTLY if told else UNTOLD
            for told in (left or right, top and bottom)
        ]
        self._history[slot, count % HISTORY] = (
            frame,
            *place,
            tall,
            *pose[[0, 2], 3],
            len(fragment.points),
            *weights,
        )
        self._sightings[slot] += 1
        self._known.pop(slot, None)
        share = NEWEST if count and frame - self.past(slot)[-2, 0] <= PAUSE else 1.0
        self.tones[slot] += share * (tones(fragment, 0.0) - self.tones[slot])
        local = fragment.points - place
        self._figures.add(slot, count, local, fragment.colours, fragment.depth)

    def place(
        self, slot: int, fragment: Fragment, pose: NDArray[np.float64], height: float
    ) -> NDArray[np.float64]:
        """[3] the middle of a thing's base, metres, if the fragment is it; see `keep`."""
        left, right, top, bottom = fragment.seen
        tall = fragment.height if top and bottom else height
        middle, half = fragment.middle.copy(), self.reach[slot] * tall
        # The end that is seen tells where the other one is.
        if left and not right:
            middle += max(fragment.ends[0] + half, 0.0) * pose[:3, 0]
        elif right and not left:
            middle += min(fragment.ends[1] - half, 0.0) * pose[:3, 0]
        if top and not bottom:
            middle[1] = fragment.top + tall
        away = middle - pose[:3, 3]
        away[1] = 0.0
        length = max(float(np.linalg.norm(away)), 1e-6)
        return middle + DEEP * self.slim[slot] * tall / length * away

    def forget(self, slot: int) -> None:
        """The slot is free again."""
        self.used[slot] = False
        self._known.pop(slot, None)

    def clear(self) -> None:
        """Forget everything, as if nothing had ever been seen."""
        for array in self.arrays().values():
            array[...] = np.zeros((), array.dtype)
        self._known.clear()

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Take over the arrays of other tracks: as many things as find room, the latest seen."""
        self.clear()
        order = np.lexsort((-state["seen"].astype(np.int64), ~state["used"].astype(np.bool_)))
        # Those that stay keep their order: in tracks of this capacity, each keeps its slot.
        kept = np.sort(order[: len(self.used)])
        for name, array in self.arrays().items():
            if name == "next":
                array[...] = state[name]
            else:
                array[: len(kept)] = state[name][kept]


def tones(fragment: Fragment, hue: float) -> NDArray[np.float64]:
    """[TONES] shares of the hues of a fragment, `hue` (turns) taken off, by their chroma."""
    tints = hue_chroma_value(fragment.colours).astype(np.float64)
    place = (tints[:, 0] - hue) % 1 * TONES
    first, chroma = np.floor(place), tints[:, 1] + 1e-3
    total = np.bincount(first.astype(int) % TONES, chroma * (first + 1 - place), TONES)
    total += np.bincount((first.astype(int) + 1) % TONES, chroma * (place - first), TONES)
    return total / total.sum()
