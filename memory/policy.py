"""The parts of a cache policy, and the door that finds one by name.

A method from the literature is a short file in `policies/` that names its parts; no method forks
the cache.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from typing import NamedTuple

from worldrt.errors import ConfigError
from worldrt.memory.compress import Packer


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """How many latent frames (sink, recent) and packed blocks (mid, top) the context holds.

    Args:
        sink: first frames of the rollout, kept for ever.
        recent: last frames, the current block not counted; None: all of them.
        mid: packed blocks kept between the two.
        top: how many of them a block attends to, chosen by query-key affinity at its first step;
            0: all.
    """

    sink: int
    recent: int | None
    mid: int = 0
    top: int = 0

    @property
    def attended_mid(self) -> int:
        """Packed blocks in the context of one block."""
        return min(self.top, self.mid) if self.top else self.mid


PositionMap = Callable[[Sequence[int], int], list[float]]
"""(frames of the sink, first frame kept after it) -> temporal positions of the sink.

Only distances between queries and keys matter, so all that stands after the sink keeps its own
frame index, and a map says where the sink is put relative to it.
"""


def absolute(sink: Sequence[int], after: int) -> list[float]:
    """The sink keeps its own indices; its distance to the query grows with the rollout."""
    del after
    return [float(frame) for frame in sink]


def contiguous(sink: Sequence[int], after: int) -> list[float]:
    """The sink stands directly before what is kept after it: no distance outgrows training."""
    return [float(after - len(sink) + index) for index in range(len(sink))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A cache policy: its parts, one each.

    Args:
        name: as the user says it.
        partition: what the context holds.
        positions: where the sink stands.
        packer: what becomes of frames that leave `recent`; None: they are dropped.
    """

    name: str
    partition: Partition
    positions: PositionMap = absolute
    packer: Packer | None = None

    def __post_init__(self) -> None:
        counts = (
            self.partition.sink,
            self.partition.recent or 0,
            self.partition.mid,
            self.partition.top,
        )
        if min(counts) < 0:
            raise ConfigError(
                f"Policy {self.name!r} counts frames from 0 up, got sink {counts[0]}, "
                f"recent {counts[1]}, mid {counts[2]}, top {counts[3]}."
            )

    @property
    def moves(self) -> bool:
        """Whether keys may change their position or form after they were written."""
        return self.positions is not absolute or self.packer is not None


class PolicyLine(NamedTuple):
    """A row of `worldrt policies`."""

    name: str
    summary: str
    source: str


def names() -> list[str]:
    """All policies, by name."""
    folder = files("worldrt.memory.policies")
    stems = (entry.name.removesuffix(".py") for entry in folder.iterdir())
    return sorted(stem for stem in stems if stem.isidentifier() and not stem.startswith("_"))


def describe(name: str) -> PolicyLine:
    """The policy's summary and source, from its file's docstring."""
    text = inspect.cleandoc(import_module(f"worldrt.memory.policies.{name}").__doc__ or "")
    summary, _, rest = text.partition("\n")
    source = rest.partition("Source: ")[2].partition("\n\n")[0]
    return PolicyLine(name, summary, " ".join(source.split()))


def find(spec: str, block_frames: int) -> Policy:
    """Build the policy that a user named.

    Args:
        spec: `NAME` or `NAME:key=value,...`, for example `window:sink=4,recent=8`.
        block_frames: latent frames of the world's block; defaults are multiples of it.

    Raises:
        ConfigError: unknown name or option, or a value that is no whole number.
    """
    name, _, options = spec.partition(":")
    if name not in names():
        raise ConfigError.unknown("policy", name, names())
    build = import_module(f"worldrt.memory.policies.{name}").build
    known = [key for key in inspect.signature(build).parameters if key != "block_frames"]
    values: dict[str, int] = {}
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        if key not in known:
            raise ConfigError.unknown(f"option of policy {name!r}", key, known)
        try:
            values[key] = int(value)
        except ValueError as error:
            raise ConfigError(
                f"Option {key!r} of policy {name!r} needs a whole number, got {value!r}."
            ) from error
    return build(block_frames=block_frames, **values)
