"""Every error that worldrt raises on purpose.

WorldrtError
├── ConfigError            an option, a file or a name that makes no sense
│   └── PathError          a camera path that can't be read
├── ShapeError             an array of the wrong shape
├── InputError             an image, a start or a data folder that can't be used
├── OutputError            a place where nothing can be written
├── CacheError             the key/value cache was asked for what it can't hold
├── CheckpointError        a world's files
│   ├── MissingTensor
│   ├── UnexpectedTensor
│   ├── ShapeMismatch
│   └── CorruptFile
├── SimulatorError         the ground-truth world refused a pose or a map
├── BackendUnavailable     a package or device that this machine lacks
├── ProtocolError          bytes of the wire that make no sense
├── ServerError            a server that can't begin, or ended a connection
└── SessionClosed          a step after the end

Each is one sentence with the numbers in it and what to do; the numbers are attributes as well where
a program would ask for them. `assert` is kept for our own impossibilities.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class WorldrtError(Exception):
    """Base of all errors that are the caller's to mend; `str()` is one sentence for a person."""


class ConfigError(WorldrtError):
    """An option, a configuration file or a name that makes no sense."""

    @classmethod
    def unknown(cls, what: str, name: str, known: Iterable[str]) -> "ConfigError":
        """The error for a name that is not among those known, with the nearest one as a hint."""
        names = sorted(known)
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return cls(f"Unknown {what} {name!r}: {hint}choose one of {', '.join(names) or 'none'}.")


class PathError(ConfigError):
    """A camera path (`W*24 J*12`, a JSON file, a named path) that can't be read."""


class ShapeError(WorldrtError):
    """An array whose shape is not the one asked for."""

    def __init__(self, what: str, got: Iterable[int], expected: str) -> None:
        self.what, self.got, self.expected = what, tuple(got), expected
        super().__init__(what, self.got, expected)

    def __str__(self) -> str:
        return f"{self.what} has shape {list(self.got)}, expected {self.expected}."


class InputError(WorldrtError):
    """An image, a start or a data folder that can't be used."""


class OutputError(WorldrtError):
    """A place where nothing can be written (missing folder, full disk)."""


class CacheError(WorldrtError):
    """The key/value cache was asked for what it can't hold."""


class CheckpointError(WorldrtError):
    """A world's files are missing, damaged or of another shape."""


class CorruptFile(CheckpointError):
    """A file that can't be parsed."""

    def __init__(self, path: Path, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(path, why)

    def __str__(self) -> str:
        return f"{self.path} can't be read ({self.why}); copy or download it again."


class MissingTensor(CheckpointError):
    """A checkpoint lacks tensors that the model needs."""

    def __init__(self, path: Path, names: Iterable[str], needed: int) -> None:
        self.path, self.names, self.needed = path, sorted(names), needed
        super().__init__(path, self.names, needed)

    def __str__(self) -> str:
        return (
            f"{self.path} lacks {len(self.names)} of {self.needed} tensors, first "
            f"{self.names[0]!r}; it belongs to another model or is incomplete."
        )


class UnexpectedTensor(CheckpointError):
    """A checkpoint holds tensors that the model has no place for."""

    def __init__(self, path: Path, names: Iterable[str], known: int) -> None:
        self.path, self.names, self.known = path, sorted(names), known
        super().__init__(path, self.names, known)

    def __str__(self) -> str:
        return (
            f"{self.path} holds {len(self.names)} tensors beyond the {self.known} of this model, "
            f"first {self.names[0]!r}; it belongs to another model."
        )


class ShapeMismatch(CheckpointError):
    """A tensor in a checkpoint has another shape than the model's."""

    def __init__(self, path: Path, name: str, got: Iterable[int], expected: Iterable[int]) -> None:
        self.path, self.name, self.got, self.expected = path, name, tuple(got), tuple(expected)
        super().__init__(path, name, self.got, self.expected)

    def __str__(self) -> str:
        return (
            f"{self.path}: {self.name!r} has shape {list(self.got)}, the model needs "
            f"{list(self.expected)}; check that world.toml belongs to these weights."
        )


class SimulatorError(WorldrtError):
    """The ground-truth world refused a pose, a map or a texture."""


class BackendUnavailable(WorldrtError):
    """A package or device that this machine lacks; the sentence says how to get it."""

    def __init__(self, what: str, remedy: str) -> None:
        self.what, self.remedy = what, remedy
        super().__init__(what, remedy)

    def __str__(self) -> str:
        return f"{self.what} is not available here; {self.remedy}."


class ProtocolError(WorldrtError):
    """Bytes from the other side of the wire that make no sense."""


class ServerError(WorldrtError):
    """A server that can't begin, can't be reached or ended the connection."""

    def __init__(self, why: str, code: int | None = None) -> None:
        self.code = code
        """Close code of the protocol, if the server gave one."""
        super().__init__(why)


class SessionClosed(WorldrtError):
    """A session was asked to go on after it was closed."""
