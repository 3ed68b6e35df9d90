"""The numbers of a world, said once: frozen structs that `world.toml` is decoded into.

A field that is unknown, missing, of the wrong type or out of range is a `ConfigError`.
"""

import math
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import tomli_w

from worldrt.errors import ConfigError, CorruptFile, InputError

Prediction = Literal["flow", "clean", "residual"]


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all configuration: immutable, strict about names.

    `kw_only` is not inherited; `frozen` is, and is said again for type checkers.
    """


AnyConfig = TypeVar("AnyConfig", bound=Config)


def check(condition: bool, sentence: str) -> None:
    """Raise ConfigError with `sentence` unless `condition` holds."""
    if not condition:
        raise ConfigError(sentence)


class CameraConfig(Config, frozen=True, kw_only=True):
    """Pinhole intrinsics in pixels; the first pixel's centre is (0.5, 0.5)."""

    width: int
    height: int
    fx: float
    fy: float
    """Differs from fx where pixels are not square (Doom: 1.2 fx)."""

    def __post_init__(self) -> None:
        check(
            all(0 < x < math.inf for x in (self.width, self.height, self.fx, self.fy)),
            f"A camera needs positive numbers, got {self.width}x{self.height} with focal lengths "
            f"{self.fx} and {self.fy}.",
        )


class MotionConfig(Config, frozen=True, kw_only=True):
    """What one frame of a held key does."""

    move_step: float
    """Metres a frame."""
    turn_step: float
    """Degrees a frame, yaw and pitch alike."""
    pitch_limit: float = 0.0
    """Degrees; 0 keeps the camera level."""

    def __post_init__(self) -> None:
        check(
            all(0 < x < math.inf for x in (self.move_step, self.turn_step))
            and 0 <= self.pitch_limit < 90,
            f"Motion needs positive steps and a pitch limit in [0, 90), got {self.move_step} m, "
            f"{self.turn_step} and {self.pitch_limit} degrees.",
        )


class ModelConfig(Config, frozen=True, kw_only=True):
    """The transformer's shape; Wan2.1 1.3B: dim 1536, num_heads 12, num_layers 30, ffn_dim 8960."""

    dim: int
    num_heads: int
    num_layers: int
    ffn_dim: int
    in_channels: int
    """Latent channels, in and out alike."""
    patch: int = 2
    """Latent rows and columns a token."""
    freq_dim: int = 256
    """Channels of the timestep's sinusoid."""
    text_dim: int = 0
    """Channels of a prompt row; 0: the model takes no text."""
    text_len: int = 512
    cross_norm: bool = True
    """An affine layer norm before cross-attention."""
    camera_channels: int = 0
    """Channels of the ray maps at latent resolution; 0: none."""
    spatial_channels: int = 0
    """Channels of the spatial condition at latent resolution; 0: none."""
    eps: float = 1e-6

    def __post_init__(self) -> None:
        check(
            self.dim % (2 * self.num_heads) == 0,
            f"dim {self.dim} must be an even multiple of num_heads {self.num_heads}.",
        )
        check(
            self.head_dim >= 6,
            f"A head of {self.head_dim} channels has no room for three rotary axes; 6 are needed.",
        )
        check(self.freq_dim % 2 == 0, f"freq_dim {self.freq_dim} must be even.")

    @property
    def head_dim(self) -> int:
        return self.dim // self.num_heads


class CodecConfig(Config, frozen=True, kw_only=True):
    """The autoencoder of a world: RGB and inverse depth to latents and back."""

    kind: Literal["patch", "conv"] = "patch"
    """`patch`: closed-form patch codec with a learned refiner; `conv`: learned autoencoder."""
    channels: int
    """Latent channels."""
    stride: int = 8
    """Pixels a latent row or column."""
    near: float = 1.0
    """Metres at which the inverse-depth channel saturates."""
    refiner_width: int = 0
    """Channels of the refiner's hidden maps; 0: none."""


class SamplerConfig(Config, frozen=True, kw_only=True):
    """Few-step flow matching."""

    sigmas: tuple[float, ...]
    """Noise levels of the steps, from 1 down; each is followed by re-noising to the next."""
    prediction: Prediction
    """What the network returns: `flow` = noise - clean, `clean`, `residual` = clean - condition."""

    def __post_init__(self) -> None:
        falling = all(a > b for a, b in zip(self.sigmas, self.sigmas[1:], strict=False))
        check(
            len(self.sigmas) > 0 and falling and self.sigmas[0] == 1 and self.sigmas[-1] > 0,
            f"sigmas must fall from 1 and stay above 0, got {list(self.sigmas)}.",
        )


class MemoryUse(StrEnum):
    """What the spatial memory tells a block."""

    NONE = "none"
    """Nothing."""
    SPLAT = "splat"
    """What its points show of the view."""
    CONTEXT = "context"
    """Past frames, recalled into the context."""
    BOTH = "both"
    """The points and the frames."""

    @property
    def shows(self) -> bool:
        """Whether the points are drawn."""
        return self in (MemoryUse.SPLAT, MemoryUse.BOTH)

    @property
    def recalls(self) -> bool:
        """Whether frames are recalled."""
        return self in (MemoryUse.CONTEXT, MemoryUse.BOTH)


class MemoryConfig(Config, frozen=True, kw_only=True):
    """The spatial memory: points of what has been seen, and keyframes."""

    budget_mb: float = 64.0
    """Megabytes; what is worth least makes room."""
    use: MemoryUse = MemoryUse.SPLAT
    """What it tells a block if nothing else is asked for."""
    recalled: int = 0
    """Most past frames that are brought back into a block's context; 0: the model knows none."""
    retrieval: str = "coverage"
    """How they are chosen, `NAME` or `NAME:key=value,...`."""
    entities: int = 0
    """Most things that move and are followed, told by hiding what was known to be open; 0: all that
    is seen stands still."""

    def __post_init__(self) -> None:
        check(
            0 < self.budget_mb < math.inf and min(self.recalled, self.entities) >= 0,
            "A memory needs room, recalls 0 frames or more and follows 0 things or more, got a "
            f"budget of {self.budget_mb:g} MB, {self.recalled} frames and {self.entities} things.",
        )
        check_use(self.use, self)


def check_use(use: MemoryUse, memory: MemoryConfig) -> None:
    """Raise ConfigError unless a world with this memory can be told so."""
    check(
        memory.recalled > 0 or not use.recalls,
        f"Memory use {use.value!r} recalls frames, and this world's model recalls "
        f"{memory.recalled}; say splat or none.",
    )


class Cells(Config, frozen=True, kw_only=True):
    """Parts that a block is cut into along each axis; a packed token stands for one."""

    time: int
    rows: int
    columns: int

    def __post_init__(self) -> None:
        check(
            min(self.time, self.rows, self.columns) > 0,
            f"A packed block needs cells, got {self.time} x {self.rows} x {self.columns}.",
        )


class PackerConfig(Config, frozen=True, kw_only=True):
    """The learned packer of blocks that leave the recent partition."""

    width: int
    """Channels of its convolutions."""
    cells: Cells

    def __post_init__(self) -> None:
        check(self.width > 0, f"A packer needs a width of at least 1, got {self.width}.")


class WorldConfig(Config, frozen=True, kw_only=True):
    """`world.toml`: everything about a world but its weights."""

    name: str
    summary: str
    fps: float
    """Frames a second at which the world is meant to be watched."""
    block_frames: int
    """Latent frames denoised together."""
    policy: str
    """Default cache policy, `NAME` or `NAME:key=value,...`."""
    camera: CameraConfig
    motion: MotionConfig
    model: ModelConfig
    codec: CodecConfig
    sampler: SamplerConfig
    memory: MemoryConfig = MemoryConfig()
    packer: PackerConfig | None = None
    """None: no packer was trained for this world."""

    def __post_init__(self) -> None:
        cell = self.codec.stride * self.model.patch
        check(
            self.camera.width % cell == 0 and self.camera.height % cell == 0,
            f"{self.camera.width}x{self.camera.height} pixels can't be cut into tokens of "
            f"{cell}x{cell} pixels.",
        )
        check(
            self.codec.channels == self.model.in_channels,
            f"The codec has {self.codec.channels} channels, the model takes "
            f"{self.model.in_channels}.",
        )
        check(self.block_frames > 0 and self.fps > 0, "block_frames and fps must be positive.")

    @property
    def latent_size(self) -> tuple[int, int]:
        """Rows and columns of a latent frame."""
        return self.camera.height // self.codec.stride, self.camera.width // self.codec.stride

    @property
    def token_size(self) -> tuple[int, int]:
        """Rows and columns of a latent frame's tokens."""
        rows, columns = self.latent_size
        return rows // self.model.patch, columns // self.model.patch


def load(path: Path, kind: type[AnyConfig]) -> AnyConfig:
    """Read a TOML file into `kind`.

    Args:
        path: the file.
        kind: a subclass of Config.

    Raises:
        InputError: there is no such file.
        CorruptFile: the file is not TOML.
        ConfigError: a field is unknown, missing, of the wrong type or out of range.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} can't be opened ({error.strerror}).") from error
    try:
        return msgspec.toml.decode(text, type=kind)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}.") from error
    except msgspec.DecodeError as error:
        raise CorruptFile(path, str(error)) from error


def dump(config: Config) -> str:
    """`config` as TOML text that `load` reads back equal."""
    return tomli_w.dumps(_without_none(msgspec.to_builtins(config)))


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    """TOML knows no None: what is None is left out."""
    return {
        name: _without_none(value) if isinstance(value, dict) else value
        for name, value in fields.items()
        if value is not None
    }
