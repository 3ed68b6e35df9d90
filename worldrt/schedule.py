"""Switches of a walk that are known beforehand: when, and what becomes of the cache."""

from collections.abc import Sequence
from dataclasses import dataclass

from worldrt.config import check
from worldrt.errors import ConfigError
from worldrt.memory.policy import Policy, SwitchMode


@dataclass(frozen=True, slots=True)
class Due:
    """A switch and the frame from which on it is to hold."""

    frame: int
    mode: SwitchMode


def read_schedule(text: str, fps: float, policy: Policy) -> list[Due]:
    """Switches as a user writes them.

    Args:
        text: `SECONDS:MODE` separated by spaces, for example `2:flush 4.5:cut`; empty: none.
        fps: frames a second.
        policy: must support every mode.

    Returns:
        In order of time; each takes effect in the first block that begins at its frame or later.

    Raises:
        ConfigError: a time or mode that makes no sense, or a mode that the policy lacks.
    """
    found = []
    for entry in text.split():
        when, _, mode = entry.partition(":")
        try:
            seconds = float(when)
        except ValueError as error:
            raise ConfigError(
                f"A switch is SECONDS:MODE, for example 2:flush, got {entry!r}."
            ) from error
        check(0 <= seconds < 1e9, f"A switch at {when} seconds is never due; say 0 or later.")
        if mode not in list(SwitchMode):
            raise ConfigError.unknown("switch mode", mode, [one.value for one in SwitchMode])
        policy.check_switch(SwitchMode(mode))
        found.append(Due(round(seconds * fps), SwitchMode(mode)))
    return sorted(found, key=lambda due: due.frame)


def take_due(waiting: list[Due], frame: int) -> Sequence[SwitchMode]:
    """Modes that are due when the block from `frame` on begins; they are taken from `waiting`."""
    due = [one for one in waiting if one.frame <= frame]
    del waiting[: len(due)]
    return [one.mode for one in due]
