"""What the protocol's classes say of themselves: their fields in order, with the text under each.

Python keeps no docstring of a field, so the source is read. The viewer's constants and the tables
of the manual are made of this, so that a field is described once.
"""

import ast
import inspect
from textwrap import dedent
from types import ModuleType
from typing import NamedTuple


class Field(NamedTuple):
    """A constant, a member or a field."""

    name: str
    annotation: str
    """As it is written; empty for what has none."""
    default: str
    """As it is written; empty for what must be given."""
    text: str
    """What stands under it; empty: the name says it all."""


def fields(of: type | ModuleType) -> list[Field]:
    """The fields of a class or the constants of a module, in the order of the source."""
    tree = ast.parse(dedent(inspect.getsource(of)))
    body = tree.body
    if isinstance(of, type):
        assert isinstance(body[0], ast.ClassDef)
        body = body[0].body
    found = []
    for statement, below in zip(body, [*body[1:], None], strict=True):
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                annotated = ast.unparse(annotation)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                annotated = ""
            case _:
                continue
        default = "" if value is None else ast.unparse(value)
        found.append(Field(name, annotated, default, _text(below)))
    return found


def _text(statement: ast.stmt | None) -> str:
    """The sentence that a statement is, on one line; empty: it is none."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return " ".join(text.split())
    return ""
