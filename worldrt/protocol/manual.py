"""The tables of docs/protocol.md, made from the structs that they describe.

`python -m worldrt.protocol.manual` renews what stands between the marks of its text; a test
compares.
"""

import re
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import get_args

import msgspec
from msgspec import inspect

from worldrt.protocol import packets, terms
from worldrt.protocol.declared import fields
from worldrt.protocol.packets import Coding, Flag, Header, Kind, Plan, Recalled
from worldrt.protocol.replies import FromServer, Lens, Limits, Partition, PolicyInfo, WorldInfo
from worldrt.protocol.requests import FromClient
from worldrt.protocol.script import header_layout
from worldrt.protocol.terms import Close

MANUAL = Path(__file__).parents[2] / "docs" / "protocol.md"
"""What a person reads who writes a client."""

_MARKED = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_TAGS = {
    kind.__name__: kind.__struct_config__.tag
    for kind in (*get_args(FromClient), *get_args(FromServer))
}
_BITS = {"B": "u8", "H": "u16", "I": "u32", "Q": "u64"}


def renewed(text: str) -> str:
    """The manual with its tables made anew."""
    made = {
        "limits": _limits(),
        "requests": _messages(get_args(FromClient)),
        "replies": _messages(get_args(FromServer)),
        "parts": _parts(WorldInfo, Lens, PolicyInfo, Limits, Partition),
        "notes": _parts(Plan, Recalled),
        "header": _header(),
        "closes": _closes(),
        **{enum.__name__.lower(): _members(enum) for enum in (Kind, Coding, Flag)},
    }
    return _MARKED.sub(lambda found: f"{found[1]}{made[found[2]]}\n{found[3]}", text)


def _messages(kinds: tuple[type[msgspec.Struct], ...]) -> str:
    return "".join(_struct(kind, f"`{kind.__struct_config__.tag}`") for kind in kinds)


def _parts(*kinds: type[msgspec.Struct]) -> str:
    return "".join(_struct(kind, kind.__name__) for kind in kinds)


def _struct(kind: type[msgspec.Struct], title: str) -> str:
    head = f"\n### {title}\n\n{_worded(kind.__doc__ or '')}\n"
    said = {field.name: _worded(field.text) for field in fields(kind)}
    rows = [
        (f"`{field.name}`", _type(field.type), _default(field), said[field.name])
        for field in inspect.type_info(kind).fields  # type: ignore[union-attr]
    ]
    return head + (_table(("field", "is", "if left out", ""), rows) if rows else "")


def _default(field: inspect.Field) -> str:
    return "" if field.required else f"`{msgspec.json.encode(field.default).decode()}`"


def _type(of: inspect.Type) -> str:
    """What a JSON value is, in words."""
    match of:
        case inspect.UnionType(types=types):
            return " or ".join(_type(one) for one in types)
        case inspect.NoneType():
            return "null"
        case inspect.BoolType():
            return "boolean"
        case inspect.IntType(ge=least, le=most, lt=beyond):
            return _range("integer", least, beyond - 1 if beyond is not None else most)
        case inspect.FloatType(ge=least, le=most):
            return _range("number", least, most)
        case inspect.StrType(max_length=None):
            return "string"
        case inspect.StrType(max_length=most):
            return f"string of at most {most}"
        case inspect.EnumType(cls=cls):
            return ", ".join(f"`{member.value}`" for member in cls)
        case inspect.TupleType(item_types=items):
            return f"[{len(items)}] of {_type(items[0])}"
        case inspect.VarTupleType(item_type=item, max_length=most):
            return ("[...] of " if most is None else f"[at most {most}] of ") + _type(item)
        case inspect.ListType(item_type=item):
            return f"[...] of {_type(item)}"
        case inspect.DictType(value_type=value):
            return f"object of {_type(value)}"
        case inspect.StructType(cls=cls):
            return cls.__name__
    raise AssertionError(f"no words for {of}")


def _range(what: str, least: float | None, most: float | None) -> str:
    return what if least is None or most is None else f"{what}, {_number(least)} to {_number(most)}"


def _number(value: float) -> str:
    """A number as one reads it best: powers of two from 2**16 on as such."""
    for exact, beyond in ((int(value), ""), (int(value) + 1, " - 1")):
        if exact >= 2**16 - 1 and exact & (exact - 1) == 0:
            return f"2^{exact.bit_length() - 1}{beyond}"
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def _limits() -> str:
    """Numbers that both sides keep to."""
    rows = []
    for module in (terms, packets):
        for field in fields(module):
            value = getattr(module, field.name)
            if isinstance(value, int | float) and field.text:
                rows.append((f"`{field.name}`", _number(round(value, 3)), field.text))
    return _table(("name", "value", ""), rows)


def _header() -> str:
    said = {field.name: _worded(field.text) for field in fields(Header)}
    rows = [("0", "magic", "4 bytes", "`WRT1`")]
    rows += [(f"{at}", f"`{name}`", _BITS[of], said[name]) for name, at, of in header_layout()]
    return _table(("byte", "field", "is", ""), rows)


def _closes() -> str:
    said = {field.name: field.text for field in fields(Close)}
    rows = [
        (f"{code.value}", code.name, said[code.name], "yes" if code.retryable else "")
        for code in Close
    ]
    return _table(("code", "name", "", "come back by yourself"), rows)


def _members(enum: type[IntEnum] | type[IntFlag]) -> str:
    rows = [(f"{enum[field.name].value}", field.name, field.text) for field in fields(enum)]
    return _table(("value", "name", ""), rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _worded(text: str) -> str:
    """A docstring on one line, in the words of JSON: `Hello` is a message `hello`."""

    def tagged(found: re.Match[str]) -> str:
        return "`" + str(_TAGS.get(found[1], found[1]))

    return re.sub(r"`(\w+)", tagged, " ".join(text.split())).replace("None", "null")


if __name__ == "__main__":
    MANUAL.write_text(renewed(MANUAL.read_text()))
