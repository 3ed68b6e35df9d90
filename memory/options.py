"""Options that a user says in words: `NAME:key=value,...`."""

import math
from typing import Any, get_args

import msgspec

from worldrt.errors import ConfigError

MOST = 1_000_000
"""Largest number that an option takes: none of them has a use for more."""
_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}


def read(what: str, text: str, hints: dict[str, Any]) -> dict[str, object]:
    """The options in a text.

    Args:
        what: whose options, in words: `policy 'window'`.
        text: `key=value,...`; may be empty.
        hints: type of each option there is.

    Raises:
        ConfigError: an option is unknown, said twice, or not of its type.
    """
    values: dict[str, object] = {}
    for option in filter(None, text.split(",")):
        key, _, value = option.partition("=")
        if key in values:
            raise ConfigError(f"Option {key!r} of {what} was said twice; say it once.")
        if key not in hints:
            raise ConfigError.unknown(f"option of {what}", key, hints)
        values[key] = convert(what, key, value, hints[key])
    return values


def convert(what: str, key: str, text: str, hint: Any) -> object:
    """An option's value.

    Raises:
        ConfigError: it is not of the option's type.
    """
    try:
        value = msgspec.convert(text, hint, strict=False)
        if isinstance(value, float) and not math.isfinite(value):
            raise msgspec.ValidationError("not finite")
    except msgspec.ValidationError as error:
        kinds: tuple[Any, ...] = get_args(hint) or (hint,)
        wanted = "one of " + ", ".join(kinds) if isinstance(kinds[0], str) else _KINDS[kinds[0]]
        raise ConfigError(f"Option {key!r} of {what} needs {wanted}, got {text!r}.") from error
    if isinstance(value, int) and abs(value) > MOST:
        raise ConfigError(f"Option {key!r} of {what} goes up to {MOST}, got {value}.")
    return value
