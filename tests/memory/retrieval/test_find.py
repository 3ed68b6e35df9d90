"""Methods by name and by their options; what is not there is said with what there is."""

from pathlib import Path

import pytest

from worldrt.errors import ConfigError
from worldrt.memory.retrieval import find as door
from worldrt.memory.retrieval.coverage import Coverage
from worldrt.memory.retrieval.find import describe, find, names
from worldrt.memory.retrieval.frustum import Frustum
from worldrt.memory.retrieval.montecarlo import MonteCarlo


def test_a_name_is_the_name_of_its_file() -> None:
    files = {path.stem for path in Path(door.__file__).parent.glob("*.py")}
    assert files - {"find", "query", "surface"} == set(names())
    for name in names():
        assert type(find(name)).__module__ == f"worldrt.memory.retrieval.{name}"


def test_options_are_read() -> None:
    assert find("coverage") == Coverage()
    assert find("montecarlo:samples=1000,radius=8") == MonteCarlo(samples=1000, radius=8.0)
    assert find("montecarlo:across=90") == MonteCarlo(across=90.0)
    assert find("frustum:side=3,near=0.5,far=4") == Frustum(side=3, near=0.5, far=4.0)


@pytest.mark.parametrize("name", names())
def test_every_method_says_what_it_does_and_whence(name: str) -> None:
    line = describe(name)
    assert line.name == name
    assert line.summary.endswith(".") and "Source" not in line.summary
    assert (line.source == "") == (name in ("last", "random"))


def test_options_are_told_with_their_defaults() -> None:
    assert describe("coverage").options == "frames=64, age=0.2"
    assert describe("last").options == ""


@pytest.mark.parametrize(
    "spec, sentence",
    [
        (
            "coverige",
            "Unknown retrieval method 'coverige': did you mean 'coverage'? choose one of coverage, "
            "frustum, last, montecarlo, nearest, oracle, random, surfel.",
        ),
        (
            "nearest:meter=1",
            "Unknown option of retrieval method 'nearest' 'meter': did you mean 'metre'? choose "
            "one of metre, within.",
        ),
        (
            "last:k=3",
            "Unknown option of retrieval method 'last' 'k': choose one of none.",
        ),
        (
            "coverage:frames=many",
            "Option 'frames' of retrieval method 'coverage' needs a whole number, got 'many'.",
        ),
        (
            "coverage:age=0.1,age=0.2",
            "Option 'age' of retrieval method 'coverage' was said twice; say it once.",
        ),
        (
            "coverage:frames=0",
            "Coverage needs at least 1 frame and an age penalty from 0 to below 1, got 0 and 0.2.",
        ),
    ],
)
def test_what_makes_no_sense_is_said(spec: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        find(spec)
    assert str(error.value) == sentence
