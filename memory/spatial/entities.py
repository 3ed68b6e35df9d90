"""Things that move, beside the static map: tracked while seen, moved on while nobody looks.

What is seen of a thing is kept as it was seen (`figures`), and where it was goes into a bounded
history. The law that explains the history (`motion`) and the rates at which its points agree
(`focus`) tell where it is and how it looks at any later frame. A thing that is not where it ought
to be, in plain sight, is soon forgotten.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldrt.errors import ConfigError, ShapeError
from worldrt.geometry.camera import Camera
from worldrt.geometry.se3 import check_pose
from worldrt.memory.spatial.fragments import Fragment, fragments
from worldrt.memory.spatial.frame import Splat
from worldrt.memory.spatial.motion import PAUSE
from worldrt.memory.spatial.posing import over
from worldrt.memory.spatial.tracks import Advance, Tracks, tones

GATE = (0.6, 3.0, 0.15, 4.0)
"""Metres from where it is expected that a thing may be seen: at least, a metre of spread, a frame
since it was seen whole, at most."""
UNLIKE = 1.8
"""Cost of taking what is seen for a thing, at most: distance in gates and unlikeness of colours."""
PROVEN, MISSED, GONE = 0.2, 0.3, 0.15
"""What a sighting adds to a thing's existence (to 1), what an absence takes, and its end."""
SAME = 0.35
"""Metres between two things that are one."""
ALIKE = 1.5
"""Factor by which a whole thing's width over height may differ from its usual one."""
SLIVER = 0.5
"""Share of its usual width over height that must be seen of a thing that is partly hidden."""
THROUGH = (0.3, 0.6)
"""Share of a figure that must lie in the picture, and of that be seen through, for an absence."""
BEHIND = (0.2, 0.05)
"""Metres, and relatively, that what is seen lies behind a thing that is seen through."""


class Belief(NamedTuple):
    """What is believed of one thing at one frame."""

    name: int
    """Which thing, never used again."""
    state: NDArray[np.float64]
    """[6] x, y, z of the middle of its base (metres), yaw (radians) since it was last seen,
    height (metres), change of hue (turns) since it was last seen."""
    spread: float
    """Metres by which its place may be wrong."""
    existence: float
    """0 to 1."""
    seen: int
    """Frame of the last sighting."""


class Entities:
    """All things that move, at most `capacity`.

    Args:
        camera: of the frames that are observed.
        capacity: things.
        points: of each, at most 32,767.
        advance: tells a thing's state while it is unseen; None: the law that fits its history.

    Raises:
        ConfigError: capacity or points are out of range.
    """

    def __init__(
        self,
        camera: Camera,
        capacity: int = 16,
        points: int = 8192,
        advance: Advance | None = None,
    ) -> None:
        if capacity < 1 or not 1 <= points < 2**15:
            raise ConfigError(
                f"Entities hold at least 1 thing of 1 to 32767 points, got {capacity} of {points}."
            )
        self.camera, self.capacity = camera, capacity
        self._tracks = Tracks(capacity, points, advance)

    def __len__(self) -> int:
        return int(np.count_nonzero(self._tracks.used))

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, the same from the first frame on."""
        return sum(array.nbytes for array in self._tracks.arrays().values())

    @property
    def walked(self) -> int:
        """Index above those of all frames in which something was seen."""
        return 1 + int(self._tracks.seen[self._tracks.used].max(initial=-1))

    def clear(self) -> None:
        """Forget everything."""
        self._tracks.clear()

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Copies of all it takes to go on bit for bit."""
        return {name: array.copy() for name, array in self._tracks.arrays().items()}

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Take over what `state` returned; of more things than there is room for, the latest seen.

        Raises:
            ShapeError: its things have other arrays than these.
            KeyError: an array is missing.
        """
        arrays = self._tracks.arrays()
        count = len(state["used"])
        for name, array in arrays.items():
            shape = (len(array) if name == "next" else count, *array.shape[1:])
            if state[name].shape != shape:
                raise ShapeError(name, state[name].shape, f"{list(shape)}, as here")
        self._tracks.restore(state)

    def observe(
        self,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.float32],
        pose: NDArray[np.float64],
        moving: NDArray[np.bool_],
        frame: int,
    ) -> list[int]:
        """Take in one frame.

        Args:
            rgb: [Y, X, 3].
            depth: [Y, X] metres along z; 0 or not finite is unknown.
            pose: [4, 4] world_from_camera.
            moving: [Y, X] pixels that show things that move.
            frame: its index, greater than the last one's.

        Returns:
            Names of the things seen, each once.

        Raises:
            ShapeError: an array does not fit the camera.
            InputError: the pose is not rigid.
        """
        size = (self.camera.height, self.camera.width)
        if rgb.shape != (*size, 3):
            raise ShapeError("rgb", rgb.shape, f"[{size[0]}, {size[1]}, 3]")
        for name, array in (("depth", depth), ("moving", moving)):
            if array.shape != size:
                raise ShapeError(name, array.shape, f"[{size[0]}, {size[1]}]")
        check_pose(pose)
        found = fragments(rgb, depth, moving, pose, self.camera)
        known = np.flatnonzero(self._tracks.used).tolist()
        expected = {slot: self._tracks.expected(slot, frame) for slot in known}
        pairs = self._associated(found, expected, pose, frame)
        for slot in known:
            if slot not in pairs and (
                self._doubled(expected[slot], [expected[other] for other in pairs])
                or self._open(slot, expected[slot], depth, pose)
            ):
                self._tracks.existence[slot] -= MISSED
                if self._tracks.existence[slot] < GONE:
                    self._tracks.forget(slot)
        for slot, fragment in pairs.items():
            self._see(slot, fragment, pose, frame, expected[slot][4])
        taken = {id(fragment) for fragment in pairs.values()}
        fresh = [
            each
            for each in found
            if id(each) not in taken and (each.whole or self._unheard(each, expected, pose, frame))
        ]
        slots = [*pairs, *(self._tracks.create(fragment, pose, frame) for fragment in fresh)]
        return sorted({int(self._tracks.names[slot]) for slot in slots})

    def tick(self, frame: float) -> list[Belief]:
        """What is believed of each thing at a frame, the last one observed or a later one."""
        beliefs = []
        for slot in np.flatnonzero(self._tracks.used).tolist():
            beliefs.append(
                Belief(
                    name=int(self._tracks.names[slot]),
                    state=self._tracks.state(slot, frame),
                    spread=self._tracks.knowledge(slot).law.spread(frame),
                    existence=float(self._tracks.existence[slot]),
                    seen=int(self._tracks.seen[slot]),
                )
            )
        return beliefs

    def draw(
        self,
        view: Splat,
        poses: NDArray[np.float64],
        camera: Camera,
        frames: Sequence[float],
    ) -> Splat:
        """The static view with the things in it, each before what is farther.

        Args:
            view: V views of the static map.
            poses: [V, 4, 4] world_from_camera.
            camera: of the views.
            frames: V frame indices.

        Returns:
            V views; where a thing is shown, `written` is the frame at which it was last seen.

        Raises:
            ShapeError: the views, the poses and the frames are not as many.
        """
        if not len(view.rgb) == len(poses) == len(frames):
            raise ShapeError("poses", poses.shape, f"[{len(view.rgb)}, 4, 4], as many as frames")
        slots = np.flatnonzero(self._tracks.used).tolist()
        if not slots:
            return view
        layers = []
        for row, (pose, frame) in enumerate(zip(poses, frames, strict=True)):
            things = [
                self._tracks.posed(slot, self._tracks.state(slot, frame), pose[:3, 3])
                for slot in slots
            ]
            still = Splat(*(layer[row] for layer in view))
            layers.append(over(still, things, self._tracks.seen[slots], pose, camera))
        return Splat(*(np.stack(images) for images in zip(*layers, strict=True)))

    def _associated(
        self,
        found: list[Fragment],
        expected: dict[int, NDArray[np.float64]],
        pose: NDArray[np.float64],
        frame: int,
    ) -> dict[int, Fragment]:
        """Which fragment is which thing, the likeliest pair first."""
        tracks, offers = self._tracks, []
        for slot, state in expected.items():
            lost = tracks.blind(slot, frame) >= PAUSE
            spread = tracks.knowledge(slot).law.spread(frame) if lost else 0.0
            gate = min(self._near(slot, frame) + GATE[1] * spread, GATE[3])
            for number, fragment in enumerate(found):
                place = tracks.place(slot, fragment, pose, state[4])
                away = float(np.hypot(*(place - state[:3])[[0, 2]]))
                alike = float(np.sqrt(tones(fragment, state[5]) * tracks.tones[slot]).sum())
                cost = away / gate + 1 - alike
                if away <= gate and cost <= UNLIKE:
                    # A thing that may be anywhere is less likely to be just here.
                    offers.append((cost + float(np.log(gate)), slot, number))
        pairs: dict[int, Fragment] = {}
        given: set[int] = set()
        for _, slot, number in sorted(offers):
            if slot not in pairs and number not in given:
                pairs[slot] = found[number]
                given.add(number)
        return pairs

    def _see(
        self,
        slot: int,
        fragment: Fragment,
        pose: NDArray[np.float64],
        frame: int,
        height: float,
    ) -> None:
        """A thing is where the fragment is."""
        self._tracks.existence[slot] = min(1.0, self._tracks.existence[slot] + PROVEN)
        self._tracks.seen[slot] = frame
        # Two that touch tell neither its place nor its size, nor does a sliver of it.
        wider = fragment.width / fragment.height / self._tracks.slim[slot]
        alike = (1 / ALIKE if fragment.whole else SLIVER) < wider < ALIKE
        if _telling(fragment) and (alike or self._tracks.wholes[slot] == 0):
            self._tracks.keep(slot, fragment, pose, frame, height)

    def _unheard(
        self,
        fragment: Fragment,
        expected: dict[int, NDArray[np.float64]],
        pose: NDArray[np.float64],
        frame: int,
    ) -> bool:
        """Whether what is partly hidden is no piece of a known thing, and tells where it is."""
        for slot, state in expected.items():
            place = self._tracks.place(slot, fragment, pose, state[4])
            if np.hypot(*(place - state[:3])[[0, 2]]) < self._near(slot, frame):
                return False
        return _telling(fragment)

    def _near(self, slot: int, frame: int) -> float:
        """Metres from where it is expected that a thing may be, if its law holds."""
        return GATE[0] + GATE[2] * min(self._tracks.blind(slot, frame), PAUSE)

    def _doubled(self, state: NDArray[np.float64], others: list[NDArray[np.float64]]) -> bool:
        """Whether a thing that was not seen ought to be where another one was seen."""
        return any(np.hypot(*(state - other)[[0, 2]]) < SAME for other in others)

    def _open(
        self,
        slot: int,
        state: NDArray[np.float64],
        depth: NDArray[np.float32],
        pose: NDArray[np.float64],
    ) -> bool:
        """Whether one looks through the place where a thing ought to be."""
        points = self._tracks.posed(slot, state, pose[:3, 3]).points
        pixels, far = self.camera.project(points, pose)
        column, row = np.floor(pixels).T
        inside = (far > 0) & (column >= 0) & (column < self.camera.width)
        inside &= (row >= 0) & (row < self.camera.height)
        if np.count_nonzero(inside) < max(1, THROUGH[0] * len(points)):
            return False
        seen = depth[row[inside].astype(int), column[inside].astype(int)]
        open_ = np.isfinite(seen) & (seen > far[inside] * (1 + BEHIND[1]) + BEHIND[0])
        return bool(np.count_nonzero(open_) >= THROUGH[1] * len(seen))


def _telling(fragment: Fragment) -> bool:
    """Whether what is seen of a thing tells something of where it is: its top is seen."""
    return fragment.whole or fragment.seen[2]
