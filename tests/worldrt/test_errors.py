import inspect
import re
from pathlib import Path

import pytest

from worldrt import errors
from worldrt.errors import (
    BackendUnavailable,
    CacheError,
    CheckpointError,
    ConfigError,
    CorruptFile,
    InputError,
    MissingTensor,
    OutputError,
    PathError,
    ProtocolError,
    ServerError,
    SessionClosed,
    ShapeError,
    ShapeMismatch,
    SimulatorError,
    UnexpectedTensor,
    WorldrtError,
)

WEIGHTS = Path("maze/model.safetensors")
PLAIN = (
    WorldrtError,
    ConfigError,
    PathError,
    InputError,
    OutputError,
    CacheError,
    CheckpointError,
    SimulatorError,
    ProtocolError,
    ServerError,
    SessionClosed,
)
"""Errors whose sentence is written where they are raised."""

SENTENCES = [
    *((kind("Both numbers, 3 and 4."), "Both numbers, 3 and 4.") for kind in PLAIN),
    (
        ShapeError("points", (5, 2), "[..., 3]"),
        "points has shape [5, 2], expected [..., 3].",
    ),
    (
        CorruptFile(WEIGHTS, "header is cut"),
        "maze/model.safetensors can't be read (header is cut); copy or download it again.",
    ),
    (
        MissingTensor(WEIGHTS, ["b", "a"], 7),
        "maze/model.safetensors lacks 2 of 7 tensors, first 'a'; it belongs to another model or is "
        "incomplete.",
    ),
    (
        UnexpectedTensor(WEIGHTS, ["d", "c", "e"], 7),
        "maze/model.safetensors holds 3 tensors beyond the 7 of this model, first 'c'; it belongs "
        "to another model.",
    ),
    (
        ShapeMismatch(WEIGHTS, "head.weight", (3, 4), (4, 4)),
        "maze/model.safetensors: 'head.weight' has shape [3, 4], the model needs [4, 4]; check "
        "that world.toml belongs to these weights.",
    ),
    (
        BackendUnavailable("ViZDoom", "get it with: pip install vizdoom"),
        "ViZDoom is not available here; get it with: pip install vizdoom.",
    ),
]

CLASSES = [
    kind
    for kind in vars(errors).values()
    if inspect.isclass(kind) and issubclass(kind, Exception) and kind.__module__ == errors.__name__
]


@pytest.mark.parametrize("error, sentence", SENTENCES, ids=[type(e).__name__ for e, _ in SENTENCES])
def test_sentence(error: WorldrtError, sentence: str) -> None:
    assert str(error) == sentence


def test_every_error_has_its_sentence_in_the_table() -> None:
    assert {type(error) for error, _ in SENTENCES} == set(CLASSES)


def test_the_module_docstring_draws_the_tree() -> None:
    """Each class stands in the tree once, under its base."""
    drawn: list[tuple[int, str]] = []
    names = {kind.__name__ for kind in CLASSES}
    bases = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"([ │├└─]*)(\w+)(  |$)", line)
        if match and match[2] in names:
            depth, name = len(match[1]), match[2]
            drawn = [above for above in drawn if above[0] < depth]
            bases[name] = drawn[-1][1] if drawn else "Exception"
            drawn.append((depth, name))
    assert bases == {kind.__name__: kind.__bases__[0].__name__ for kind in CLASSES}


def test_the_numbers_are_attributes() -> None:
    shape = ShapeError("points", iter([5, 2]), "[..., 3]")
    assert (shape.what, shape.got, shape.expected) == ("points", (5, 2), "[..., 3]")
    missing = MissingTensor(WEIGHTS, {"b", "a"}, 7)
    assert (missing.path, missing.names, missing.needed) == (WEIGHTS, ["a", "b"], 7)
    beyond = UnexpectedTensor(WEIGHTS, {"b", "a"}, 7)
    assert (beyond.path, beyond.names, beyond.known) == (WEIGHTS, ["a", "b"], 7)
    other = ShapeMismatch(WEIGHTS, "head", [3], [4])
    assert (other.name, other.got, other.expected) == ("head", (3,), (4,))
    corrupt = CorruptFile(WEIGHTS, "cut")
    assert (corrupt.path, corrupt.why) == (WEIGHTS, "cut")
    assert (ServerError("Gone.").code, ServerError("Gone.", 4010).code) == (None, 4010)
    lacking = BackendUnavailable("ViZDoom", "buy it")
    assert (lacking.what, lacking.remedy) == ("ViZDoom", "buy it")


@pytest.mark.parametrize(
    "name, known, sentence",
    [
        (
            "windo",
            ["window", "full", "pack"],
            "Unknown policy 'windo': did you mean 'window'? choose one of full, pack, window.",
        ),
        ("zzz", ["full", "pack"], "Unknown policy 'zzz': choose one of full, pack."),
        ("zzz", [], "Unknown policy 'zzz': choose one of none."),
    ],
)
def test_an_unknown_name_gets_the_nearest_as_a_hint(
    name: str, known: list[str], sentence: str
) -> None:
    assert str(ConfigError.unknown("policy", name, known)) == sentence


def test_unknown_makes_the_class_it_is_asked_of() -> None:
    assert type(PathError.unknown("path", "lop", ["loop"])) is PathError
