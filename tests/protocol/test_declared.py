from enum import IntEnum

from worldrt.protocol.declared import Field, fields
from worldrt.protocol.packets import Header
from worldrt.protocol.requests import Step


class Tree(IntEnum):
    """Leaves fall."""

    OAK = 1
    """Slow,
    and hard."""
    FIR = 2

    @property
    def green(self) -> bool:
        """No field."""
        return self is Tree.FIR


def test_each_field_with_what_stands_under_it() -> None:
    assert fields(Tree) == [
        Field("OAK", "", "1", "Slow, and hard."),
        Field("FIR", "", "2", ""),
    ]


def test_annotations_and_defaults_as_they_are_written() -> None:
    found = {field.name: field for field in fields(Header)}
    assert [*found] == [*Header.__dataclass_fields__]
    assert found["kind"] == Field("kind", "Kind", "Kind.VIDEO", "")
    assert found["count"] == Field("count", "int", "1", "Frames of the chunk.")


def test_a_class_without_fields() -> None:
    assert fields(Step) == []
