"""A cache policy: the parts that it is composed of, and the door that finds one by name.

A method from the literature is a short file in `policies/` that names its parts; no method forks
the cache.
"""

import inspect
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib import import_module
from importlib.resources import files
from types import ModuleType
from typing import NamedTuple, get_type_hints

from worldrt.errors import ConfigError
from worldrt.memory.buckets import MOST_BITS
from worldrt.memory.mid import Bounds, MidPart
from worldrt.memory.options import read
from worldrt.memory.positions import Absolute, PositionMap
from worldrt.memory.quantize import Codec, find_codec

UNBOUNDED = 4
"""Blocks that a cache has room for at first where the policy keeps everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """How many latent frames the context holds at full resolution.

    Args:
        sink: first frames of the rollout, kept for ever.
        recent: last frames, the current block not counted; None: all of them.
        limit: frames in all (sink, mid, recent and the current block) below which none leaves
            `recent`; 0: they leave as soon as there are more than `recent`.
    """

    sink: int
    recent: int | None
    limit: int = 0


class SwitchMode(StrEnum):
    """What becomes of the cache when the prompt or the scene changes."""

    KEEP = "keep"
    """Nothing: only the text is another."""
    RECACHE = "recache"
    """The last frames are encoded again under the new prompt."""
    FLUSH = "flush"
    """All but the sink and the last frames are forgotten."""
    CUT = "cut"
    """As flush, and the next block stands far from what was before it."""
    RECALL = "recall"
    """A scene that was left before is brought back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """What a policy does at a switch; `keep` is always possible.

    Args:
        recache: last frames that are encoded again; 0: none, the mode is not supported.
        renew_sink: whether recached frames take the sink's place (without a global sink).
        flush: last frames that survive a flush; None: not supported.
        cut: whether a cut is supported; it flushes too.
        recall: whether the mid partition can bring back a scene.
        clears: whether a cut and a recall, unlike a flush, forget the last frames as well.
    """

    recache: int = 0
    renew_sink: bool = False
    flush: int | None = None
    cut: bool = False
    recall: bool = False
    clears: bool = False

    def kept(self, mode: SwitchMode) -> int:
        """Last frames that survive a flush, a cut or a recall."""
        clears = self.clears and mode is not SwitchMode.FLUSH
        return 0 if clears else self.flush or 0

    @property
    def modes(self) -> list[SwitchMode]:
        """Those that are supported."""
        supported = {
            SwitchMode.KEEP: True,
            SwitchMode.RECACHE: self.recache > 0,
            SwitchMode.FLUSH: self.flush is not None,
            SwitchMode.CUT: self.cut,
            SwitchMode.RECALL: self.recall,
        }
        return [mode for mode, here in supported.items() if here]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """A context that is written anew before each block, from latents that are kept.

    Args:
        first: latent frames of the rollout's beginning.
        last: latent frames of its end.
        at_once: one pass in which all see each other; else block by block, each seeing those
            before it.
    """

    first: int
    last: int
    at_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparse:
    """Attention to near keys alone, found by the sides of random planes; see `memory.buckets`.

    Args:
        prompt_bits: planes a table by which words that matter to no token are hidden; 0: off.
        self_bits: planes a table by which keys are hidden from a query; 0: off.
        tables: independent tables; a key shared in any of them is seen.
        after: share of a block's steps before which every query sees all keys.
    """

    prompt_bits: int = 0
    self_bits: int = 0
    tables: int = 4
    after: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A cache policy: its parts, one each.

    Args:
        name: as the user says it.
        partition: what the context holds at full resolution.
        positions: where it stands.
        mid: what becomes of frames that leave `recent`; None: they are dropped.
        switches: what happens when the prompt or the scene changes.
        rebuild: what the whole context is written from before each block; None: it is kept.
        state: latent frames that are denoised with each block, never shown, and become its sink.
        lookahead: sink frames that are given anew before each block, from a place ahead.
        sparse: which keys of prompt and context a query may pass over.
        codec: how the frames of sink and recent are stored; None: as the model computes them.
    """

    name: str
    partition: Partition
    positions: PositionMap = Absolute()
    mid: MidPart | None = None
    switches: Switches = Switches()
    rebuild: Rebuild | None = None
    state: int = 0
    lookahead: int = 0
    sparse: Sparse = Sparse()
    codec: Codec | None = None

    def __post_init__(self) -> None:
        sparse = self.sparse
        if sparse.tables < 1 or not all(
            0 <= bits <= MOST_BITS for bits in (sparse.prompt_bits, sparse.self_bits)
        ):
            raise ConfigError(
                f"Policy {self.name!r} takes 0 to {MOST_BITS} bits in at least 1 table, got "
                f"{sparse.prompt_bits} and {sparse.self_bits} bits in {sparse.tables}."
            )
        if self.codec is not None and self.sparse.self_bits:
            raise ConfigError(
                f"Policy {self.name!r} hides keys by buckets of {self.sparse.self_bits} bits, and "
                f"codec {self.codec.name!r} can't do that tile by tile; leave one of them out."
            )
        part = self.partition
        if min(part.sink, part.recent or 0, part.limit) < 0:
            raise ConfigError(
                f"Policy {self.name!r} counts frames from 0 up, got sink {part.sink}, "
                f"recent {part.recent}, limit {part.limit}."
            )

    @property
    def moves(self) -> bool:
        """Whether raw keys are needed after they were written."""
        return self.positions.moves or (self.mid is not None and self.mid.raw)

    @property
    def rewrites(self) -> bool:
        """Whether keys are written besides those of blocks in order."""
        return self.rebuild is not None or self.state > 0 or self.lookahead > 0

    def most_written(self, block_frames: int) -> int:
        """Most frames that are opened at once."""
        rebuild = self.rebuild
        given = rebuild.first + rebuild.last if rebuild and rebuild.at_once else 0
        return max(block_frames, given)

    def slots(self, block_frames: int) -> int:
        """Frame slots that a cache needs, at first where everything is kept."""
        part = self.partition
        recent = UNBOUNDED * block_frames if part.recent is None else part.recent
        sink = max(part.sink, 2 * self.state, self.lookahead)
        return max(sink + recent + block_frames, part.limit)

    def bounds(self, block_frames: int) -> Bounds:
        """What the mid partition must reckon with."""
        part = self.partition
        late = part.limit - part.sink - (part.recent or 0)
        return Bounds(max(block_frames, late), part.sink)

    def check_switch(self, mode: SwitchMode) -> None:
        """Raise ConfigError unless `mode` is supported."""
        known = self.switches.modes
        if mode not in known:
            raise ConfigError(
                f"Policy {self.name!r} has no switch mode {mode.value!r}; it knows "
                f"{', '.join(one.value for one in known)}."
            )


def check_frames(name: str, **frames: int) -> None:
    """Raise ConfigError unless each of a policy's numbers of frames is at least 1."""
    for option, count in frames.items():
        if count < 1:
            raise ConfigError(f"Policy {name!r} needs {option} of at least 1 frame, got {count}.")


class PolicyLine(NamedTuple):
    """A row of `worldrt policies`."""

    name: str
    summary: str
    source: str
    options: str
    modes: str


def names() -> list[str]:
    """All policies, by name; a dash of a name is an underscore of its file."""
    folder = files("worldrt.memory.policies")
    stems = (entry.name.removesuffix(".py") for entry in folder.iterdir())
    found = (stem for stem in stems if stem.isidentifier() and not stem.startswith("_"))
    return sorted(stem.replace("_", "-") for stem in found)


def describe(name: str) -> PolicyLine:
    """What a policy keeps and where it comes from, its options and its switch modes."""
    module = _module(name)
    text = inspect.cleandoc(module.__doc__ or "")
    summary, _, rest = text.partition("\n")
    source = rest.partition("Source: ")[2].partition("\n\n")[0]
    options = [*_options(module.build), "codec"]
    modes = [mode.value for mode in find(name, 1).switches.modes]
    where = " ".join(source.split())
    return PolicyLine(name, summary, where, ", ".join(options), ", ".join(modes))


def find(spec: str, block_frames: int) -> Policy:
    """Build the policy that a user named.

    Args:
        spec: `NAME` or `NAME:key=value,...`, for example `window:sink=4,recent=8,codec=int4`.
        block_frames: latent frames of the world's block; defaults are multiples of it.

    Raises:
        ConfigError: unknown name or option, or a value that makes no sense.
    """
    name, _, options = spec.partition(":")
    if name not in names():
        raise ConfigError.unknown("policy", name, names())
    build = _module(name).build
    values = read(f"policy {name!r}", options, _options(build) | {"codec": str})
    codec = values.pop("codec", None)
    policy: Policy = build(block_frames=block_frames, **values)
    return policy if codec is None else replace(policy, codec=find_codec(str(codec)))


def _module(name: str) -> ModuleType:
    """The file of a policy."""
    return import_module(f"worldrt.memory.policies.{name.replace('-', '_')}")


def _options(build: object) -> dict[str, object]:
    """Type of each option of a policy."""
    hints = get_type_hints(build)
    return {key: hint for key, hint in hints.items() if key not in ("block_frames", "return")}
