"""How deep a picture is that came without depth: a room, a plane, or what a model makes of it."""

import logging
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worldrt.config import check
from worldrt.errors import BackendUnavailable, ConfigError, InputError
from worldrt.geometry.camera import Camera

ROOM = (1.28, 2.2, 6.0)
"""Metres to floor, ceiling and far wall of the assumed room."""
METRES, NEARNESS = ("depth_pro", "glpn", "zoedepth"), ("depth_anything", "dpt")
"""Models of transformers that give metres, and that give inverse depth up to a scale unless their
configuration says otherwise."""
OVERSHOOT = 0.02
"""Share of the largest value by which enlarging a model's image may go below zero."""


class Estimate(NamedTuple):
    """The depth of a picture."""

    depth: NDArray[np.float32]
    """[Y, X] metres along z; 0 is unknown: infinitely far."""
    note: str
    """How it came about, to be read after "it has no depth:"."""


class DepthProvider(Protocol):
    """Tells the depth of pictures."""

    def estimate(self, rgb: NDArray[np.uint8], camera: Camera) -> Estimate:
        """The depth of a picture.

        Args:
            rgb: [..., ..., 3] of the camera's shape, at any size.
            camera: whose size the depth has.

        Raises:
            InputError: no depth can be told.
        """
        ...


def depth_provider(text: str) -> DepthProvider:
    """The provider that a user named.

    Args:
        text: `room`, `plane:METRES`, or a folder with a depth-estimation model of transformers.

    Raises:
        ConfigError: it is none of these.
        BackendUnavailable: a model without transformers installed.
        InputError: a model that can't be loaded.
    """
    if text == "room":
        return Room()
    if text.startswith("plane:"):
        return Plane.read(text.removeprefix("plane:"))
    if (Path(text) / "config.json").is_file():
        return Model(Path(text))
    raise ConfigError(
        f"Depth can't come from {text!r}: say room, plane:METRES, or a folder with the config.json "
        "and the weights of a depth-estimation model."
    )


class Room:
    """A level camera between a floor, a ceiling and a far wall."""

    def estimate(self, rgb: NDArray[np.uint8], camera: Camera) -> Estimate:
        floor, ceiling, wall = ROOM
        rows = camera.directions()[..., 1]
        with np.errstate(divide="ignore"):
            depth = np.where(rows > 0, floor, ceiling) / np.abs(rows)
        return Estimate(
            np.minimum(depth, wall).astype(np.float32),
            f"a level camera in a room is assumed, {floor:g} m above the floor, {ceiling:g} m "
            f"below the ceiling, {wall:g} m from the far wall",
        )


class Plane:
    """A picture on a wall, straight ahead."""

    def __init__(self, metres: float) -> None:
        check(0 < metres < np.inf, f"A plane stands some metres ahead, got {metres:g}; say 4.")
        self.metres = metres

    @classmethod
    def read(cls, text: str) -> "Plane":
        """The plane at so many metres, as a user wrote it."""
        try:
            return cls(float(text))
        except ValueError as error:
            raise ConfigError(
                f"A plane stands some metres ahead, got {text!r}; say plane:4."
            ) from error

    def estimate(self, rgb: NDArray[np.uint8], camera: Camera) -> Estimate:
        depth = np.full((camera.height, camera.width), self.metres, np.float32)
        return Estimate(depth, f"a flat picture {self.metres:g} m ahead is assumed")


class Model:
    """A depth-estimation model of transformers, from a folder; nothing is downloaded."""

    def __init__(self, folder: Path) -> None:
        """Load it.

        Args:
            folder: as `save_pretrained` writes it, of model and image processor.

        Raises:
            BackendUnavailable: transformers is not installed.
            InputError: the folder can't be loaded.
            ConfigError: it is a model of another kind.
        """
        self.folder = folder
        self._run, config = _pipeline(folder)
        kind = str(config["model_type"])
        if kind not in (*METRES, *NEARNESS):
            raise ConfigError.unknown("depth model", kind, (*METRES, *NEARNESS))
        self.metric = kind in METRES or config.get("depth_estimation_type") == "metric"

    def estimate(self, rgb: NDArray[np.uint8], camera: Camera) -> Estimate:
        found = self._run(Image.fromarray(rgb))["predicted_depth"].float().numpy()
        least = 0.0 if self.metric else -OVERSHOOT * float(np.nan_to_num(found).max())
        bad = np.count_nonzero(~(np.isfinite(found) & (found >= least)))
        zeros = np.count_nonzero(found == 0) if self.metric else 0
        if bad or zeros or not found.max() > 0:
            raise InputError(
                f"{self.folder} tells {bad} values that are negative or not finite and "
                f"{np.count_nonzero(found == 0)} zeros for a picture of {found.size} pixels; take "
                "another model, or --depth room."
            )
        # One pixel in many, not their mean: that would lie between two surfaces at an edge.
        size = camera.width, camera.height
        values = cv2.resize(found, size, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.float32)
        if self.metric:
            return Estimate(values, f"{self.folder.name} has estimated it, in metres")
        middle = float(np.median(Room().estimate(rgb, camera).depth))
        known = values > OVERSHOOT**2 * values.max()  # farther is infinitely far
        scale = middle * float(np.median(values[known]))
        return Estimate(
            np.divide(scale, values, out=np.zeros_like(values), where=known),
            f"{self.folder.name} has estimated it up to a scale, which is chosen so that half of "
            f"the picture lies nearer than {middle:.2g} m",
        )


def _pipeline(folder: Path) -> tuple[Any, dict[str, Any]]:
    """The model as a function of pictures, and its configuration."""
    try:
        import transformers
    except ImportError as error:
        raise BackendUnavailable(
            "transformers", "install it with: pip install 'worldrt[depth]', or say --depth room"
        ) from error
    # It says what it loads, with bars; the caller has asked for none of that.
    logging.getLogger("transformers").setLevel(logging.ERROR)
    try:
        model = transformers.AutoModelForDepthEstimation.from_pretrained(
            folder, local_files_only=True
        )
        processor = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise InputError(
            f"{folder} can't be loaded as a depth-estimation model ({reason}); name a folder that "
            "save_pretrained has written, of the model and of its image processor."
        ) from error
    run = transformers.pipeline("depth-estimation", model=model, image_processor=processor)
    return run, model.config.to_dict()
