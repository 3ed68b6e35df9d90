"""Structs at random, made from what their fields declare."""

from enum import EnumMeta
from typing import Any, TypeVar

from hypothesis import strategies as st
from msgspec import Struct, inspect

T = TypeVar("T", bound=Struct)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


def structs(kind: type[T]) -> st.SearchStrategy[T]:
    """Valid ones of one kind."""
    return _values(inspect.type_info(kind))


def _values(of: inspect.Type) -> st.SearchStrategy[Any]:
    match of:
        case inspect.StructType(cls=cls, fields=fields):
            given = {field.name: _values(field.type) for field in fields}
            return st.fixed_dictionaries(given).map(lambda values: cls(**values))
        case inspect.UnionType(types=types):
            return st.one_of([_values(one) for one in types])
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType(ge=least, le=most, lt=beyond):
            least = -(2**53) if least is None else least
            most = beyond - 1 if beyond is not None else 2**53 if most is None else most
            return st.integers(int(least), int(most))
        case inspect.FloatType(ge=least, le=most):
            return st.floats(least, most, allow_nan=False, allow_infinity=False)
        case inspect.StrType():
            return TEXTS
        case inspect.EnumType(cls=EnumMeta() as cls):
            return st.sampled_from(list(cls))
        case inspect.TupleType(item_types=items):
            return st.tuples(*[_values(item) for item in items])
        case inspect.VarTupleType(item_type=item):
            return st.lists(_values(item), max_size=3).map(tuple)
        case inspect.ListType(item_type=item):
            return st.lists(_values(item), max_size=3)
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_values(key), _values(value), max_size=3)
    raise AssertionError(f"no values for {of}")
