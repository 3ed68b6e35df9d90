"""What held keys do to a camera, and the paths that can be asked for in a line of text.

A path is one of

- keys or a name, as `keys.py` tells: `W*24 J*12`, `spin`, `random:7`;
- poses: a JSON list of `{"position": [x, y, z], "yaw": degrees, "pitch": degrees}` or of row-major
  4x4 matrices, relative to the start;
- a file, `.json` or `.txt`, that holds one of these.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle, islice
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from worldrt.config import MotionConfig
from worldrt.errors import InputError, PathError, ShapeError
from worldrt.geometry.keys import MAX_FRAMES, Keys, check_frames, read_keys
from worldrt.geometry.se3 import check_pose, from_yaw_pitch, yaw_pitch

_GRAINS = 10**9
"""Parts of a degree that angles are counted in. Whole numbers add up without drift, and an angle
read back from a pose is the very number that went in: a walk cut into blocks is the uncut walk."""

_LEVEL = 1e-6
"""Largest sine of a roll that is taken to be rounding."""

_AXES = ("right", "ahead", "turn right", "look up")

Step = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""Where one comes to stand: (position [3], wanted position [3]) -> position [3], metres."""


def integrate(
    keys: Sequence[Keys],
    start: NDArray[np.float64],
    motion: MotionConfig,
    step: Step | None = None,
) -> NDArray[np.float64]:
    """Walk with held keys: `steer` along `axes_of` them.

    Args:
        keys: F frames of held keys.
        start, motion, step: as `steer`.

    Returns:
        [F, 4, 4] camera-to-world poses; pose i is the one after keys i.

    Raises:
        ShapeError, InputError: start is no pose, is rolled, or is pitched beyond the limit.
    """
    return steer(axes_of(keys), start, motion, step)


def axes_of(keys: Sequence[Keys]) -> NDArray[np.float64]:
    """What held keys ask for: right, ahead, turn right and look up, [F, 4].

    Each is -1, 0 or 1; opposite keys cancel.
    """
    held = np.fromiter(keys, np.int64, len(keys))
    pairs = (Keys.D, Keys.A), (Keys.W, Keys.S), (Keys.L, Keys.J), (Keys.I, Keys.K)
    axes = [((held & plus) > 0) * 1.0 - ((held & minus) > 0) for plus, minus in pairs]
    return np.stack(axes, axis=-1).astype(np.float64, copy=False)


def steer(
    axes: NDArray[np.float64],
    start: NDArray[np.float64],
    motion: MotionConfig,
    step: Step | None = None,
) -> NDArray[np.float64]:
    """Walk: each frame turns first, then moves in the horizontal plane along the new yaw.

    A full axis is a held key. A diagonal is as fast as a straight line, and looking up or down
    changes no height. Steering two halves, the second from the first's last pose, gives bit for bit
    what steering the whole gives.

    Args:
        axes: [F, 4] right, ahead, turn right, look up, each -1 to 1 of a held key; an angle is
            taken to the nearest 1e-9 degree.
        start: [4, 4] camera-to-world pose before the first frame, without roll; its angles are
            taken likewise.
        motion: what one frame of a held key does.
        step: where one comes to stand; None: wherever one wants to.

    Returns:
        [F, 4, 4] camera-to-world poses; pose i is the one after axes i.

    Raises:
        ShapeError: axes is not [F, 4], or start no pose.
        InputError: an axis is out of range, or start is no pose, is rolled, or is pitched beyond
            the limit.
    """
    right, ahead, turns, looks = _checked(axes)
    yaw, pitch = _angles(start, motion)
    turn, limit = _grains(motion.turn_step), _grains(motion.pitch_limit)
    yaws = yaw + np.cumsum(np.rint(turn * turns).astype(np.int64))
    ups = np.rint(turn * looks).astype(np.int64).tolist()
    pitches = accumulate(ups, lambda at, by: min(max(at + by, -limit), limit), initial=pitch)
    yaw_rad = np.radians(yaws % (360 * _GRAINS) / _GRAINS)
    pitch_rad = np.radians(np.fromiter(pitches, np.int64, len(axes) + 1)[1:] / _GRAINS)

    pace = motion.move_step / np.sqrt(np.maximum(right * right + ahead * ahead, 1))
    sine, cosine = np.sin(yaw_rad), np.cos(yaw_rad)
    steps = np.zeros((len(axes) + 1, 3))
    steps[0] = start[:3, 3]
    steps[1:, 0] = pace * (ahead * sine + right * cosine)
    steps[1:, 2] = pace * (ahead * cosine - right * sine)
    if step is None:
        positions = np.cumsum(steps, axis=0)
    else:
        positions = np.array(list(accumulate(steps, lambda at, by: step(at, at + by))))
    return from_yaw_pitch(positions[1:], yaw_rad, pitch_rad)


class View(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One pose of a JSON path, relative to the start's axes."""

    position: tuple[float, float, float]
    """Metres to the right, down and ahead."""
    yaw: float
    """Degrees to the right."""
    pitch: Annotated[float, msgspec.Meta(ge=-90, le=90)] = 0.0
    """Degrees up."""


_Row = tuple[float, float, float, float]
_Matrix = tuple[_Row, _Row, _Row, _Row]


def parse_poses(text: str) -> NDArray[np.float64]:
    """The poses of a JSON list of views or matrices.

    Args:
        text: 1 to MAX_FRAMES poses.

    Returns:
        [F, 4, 4] camera to start, metres.

    Raises:
        PathError: it is no such list, or a pose is not rigid; the sentence has its index.
    """
    try:
        items = msgspec.json.decode(text, type=list[View | _Matrix])
    except ValueError as error:  # msgspec's own, or text that is no UTF-8
        raise PathError(
            f"The list of poses can't be read ({error}); write objects with position, yaw and "
            "pitch, or row-major 4x4 matrices."
        ) from error
    if not 1 <= len(items) <= MAX_FRAMES:
        raise PathError(f"The list has {len(items)} poses; write 1 to {MAX_FRAMES}.")
    poses = np.empty((len(items), 4, 4))
    for index, item in enumerate(items):
        if isinstance(item, View):
            poses[index] = from_yaw_pitch(
                np.array(item.position), np.radians(item.yaw), np.radians(item.pitch)
            )
        else:
            poses[index] = item
        try:
            check_pose(poses[index])
        except InputError as error:
            raise PathError(f"Pose {index} of {len(items)}: {error}") from error
    return poses


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """A path that can be walked from any start."""

    steps: tuple[Keys, ...] | NDArray[np.float64]
    """Keys of each frame, or poses [F, 4, 4] that take camera axes to the start's axes."""

    def poses(
        self,
        start: NDArray[np.float64],
        motion: MotionConfig,
        frames: int,
        step: Step | None = None,
    ) -> NDArray[np.float64]:
        """The path from `start`: keys begin anew where they run out, poses stay at the last.

        Args:
            start: [4, 4] camera-to-world pose before the first frame.
            motion: what one frame of a held key does.
            frames: 1 to MAX_FRAMES; a longer path is cut.
            step: where keys let one come to stand, see `integrate`; given poses are not moved.

        Returns:
            [frames, 4, 4] camera-to-world poses.

        Raises:
            PathError: frames is out of range.
            ShapeError, InputError: start is no pose, or none that keys can be integrated from.
        """
        check_frames(frames)
        if isinstance(self.steps, tuple):
            return integrate(tuple(islice(cycle(self.steps), frames)), start, motion, step)
        check_pose(start)
        return start @ self.steps[np.minimum(np.arange(frames), len(self.steps) - 1)]


def read_path(text: str, frames: int | None, motion: MotionConfig) -> Trajectory:
    """The path that a line of text asks for; the module's docstring tells the ways.

    Args:
        text: keys, a name, JSON, or the place of a `.json` or `.txt` file.
        frames: how many a named path shall fill, 1 to MAX_FRAMES; None: its own length.
        motion: what one frame of a held key does; named paths measure their turns by it.

    Raises:
        PathError: the text is none of these, its file can't be read, or frames is out of range.
    """
    text = text.strip()
    if text.lower().endswith((".json", ".txt")):
        try:
            text = Path(text).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:  # ValueError: not UTF-8, or no name for a file
            raise PathError(
                f"The path file can't be read ({error}); check its place and that it is text."
            ) from error
    if text.startswith("["):
        return Trajectory(parse_poses(text))
    return Trajectory(read_keys(text, frames, motion))


def _grains(degrees: float) -> int:
    return round(degrees * _GRAINS)


def _angles(start: NDArray[np.float64], motion: MotionConfig) -> tuple[int, int]:
    """Yaw and pitch of a start, in grains."""
    check_pose(start)
    yaw, pitch = np.degrees(yaw_pitch(start))
    if abs(pitch) > motion.pitch_limit + np.degrees(_LEVEL):
        raise InputError(
            f"The start looks {pitch:+.4g} degrees up, this world allows {motion.pitch_limit:g} "
            "either way; level it or raise pitch_limit."
        )
    if abs(start[1, 0]) > _LEVEL or start[1, 1] < 0:
        roll = np.degrees(np.arctan2(start[1, 0], start[1, 1]))
        raise InputError(f"The start is rolled by {roll:.4g} degrees, 0 is allowed; level it.")
    return _grains(yaw), _grains(pitch)


def _checked(axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The four axes [4, F], each within -1 and 1."""
    if axes.ndim != 2 or axes.shape[1] != len(_AXES):
        raise ShapeError("axes", axes.shape, "[F, 4]: right, ahead, turn right, look up")
    wrong = np.argwhere(~(np.abs(axes) <= 1))  # so that what is no number is wrong as well
    if len(wrong):
        frame, axis = wrong[0].tolist()
        raise InputError(
            f"Axis {_AXES[axis]!r} of frame {frame} is {axes[frame, axis]:g}; give -1 to 1 of a "
            "held key."
        )
    return axes.T.astype(np.float64)
