"""The door that finds a retrieval method by name."""

import inspect
from typing import NamedTuple, get_type_hints

from worldrt.errors import ConfigError
from worldrt.memory.options import read
from worldrt.memory.retrieval.coverage import Coverage
from worldrt.memory.retrieval.frustum import Frustum
from worldrt.memory.retrieval.last import Last
from worldrt.memory.retrieval.montecarlo import MonteCarlo
from worldrt.memory.retrieval.nearest import Nearest
from worldrt.memory.retrieval.oracle import Oracle
from worldrt.memory.retrieval.query import Method
from worldrt.memory.retrieval.random import Random
from worldrt.memory.retrieval.surfel import Surfel

METHODS: dict[str, type[Method]] = {
    "coverage": Coverage,
    "frustum": Frustum,
    "last": Last,
    "montecarlo": MonteCarlo,
    "nearest": Nearest,
    "oracle": Oracle,
    "random": Random,
    "surfel": Surfel,
}


class MethodLine(NamedTuple):
    """A row of a table of methods."""

    name: str
    summary: str
    source: str
    options: str


def names() -> list[str]:
    """All methods, by name."""
    return sorted(METHODS)


def describe(name: str) -> MethodLine:
    """What a method does, where it comes from, and its options with their defaults.

    Raises:
        ConfigError: unknown name.
    """
    method = _method(name)
    text = inspect.getdoc(inspect.getmodule(method)) or ""
    summary, _, rest = text.partition("\n\n")
    source = rest.partition("Source: ")[2].partition("\n\n")[0]
    defaults = inspect.signature(method).parameters.values()
    options = [f"{option.name}={option.default}" for option in defaults]
    return MethodLine(name, " ".join(summary.split()), " ".join(source.split()), ", ".join(options))


def find(spec: str) -> Method:
    """Build the method that a user named.

    Args:
        spec: `NAME` or `NAME:key=value,...`, for example `montecarlo:samples=1000,radius=8`.

    Raises:
        ConfigError: unknown name or option, or a value that makes no sense.
    """
    name, _, options = spec.partition(":")
    method = _method(name)
    return method(**read(f"retrieval method {name!r}", options, get_type_hints(method)))


def _method(name: str) -> type[Method]:
    if name not in METHODS:
        raise ConfigError.unknown("retrieval method", name, names())
    return METHODS[name]
