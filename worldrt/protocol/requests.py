"""What a client tells the server, in JSON: one struct a message, told apart by its field `t`.

An unknown field is ignored and a new one has a default, so that builds of one version understand
each other; what breaks that is another version. Times are whole microseconds of the client's own
monotonic clock.
"""

from typing import Annotated, TypeAlias

from msgspec import Meta

from worldrt.protocol.terms import (
    MAX_PROMPT,
    Axis,
    Codec,
    Count,
    Degrees,
    Delivery,
    Message,
    Micros,
    Name,
)


class Hello(Message, frozen=True, kw_only=True):
    """The first message: who comes, and whether to a session that is there already."""

    versions: Annotated[tuple[Name, ...], Meta(max_length=16)]
    """Versions that the client speaks, the best first."""
    token: Name = ""
    """What the server's host gave out; empty: none is needed."""
    resume: Name = ""
    """`Welcome.resume` of a session to take up again."""
    watch: Name = ""
    """`Welcome.watch` of a session to look at, read-only."""
    codecs: Annotated[tuple[Name, ...], Meta(max_length=8)] = ("jpeg",)
    """Codecs that the client shows, the best first; unknown ones are passed over."""


class Start(Message, frozen=True, kw_only=True):
    """Begin a walk, or a new one in place of the one that runs."""

    start: Name = ""
    """A start that `Welcome.world` names; empty: its first."""
    seed: Annotated[int, Meta(ge=0, lt=2**53)] = 0
    """Of the noise."""
    policy: Name = ""
    """Cache policy; empty: the world's."""


class Input(Message, frozen=True, kw_only=True):
    """All that is held now: a state, never a change, so that one that is lost is made good by the
    next. Sent on change, and every HEARTBEAT_S while anything is held."""

    seq: Count
    """From 1, rises with each input of a connection; an older one that comes late is passed
    over."""
    t_us: Micros
    """When the newest key went down or up."""
    keys: Annotated[int, Meta(ge=0, lt=2**16)] = 0
    """Bits as in `Welcome.keymap`."""
    axes: tuple[Axis, Axis, Axis, Axis] = (0.0, 0.0, 0.0, 0.0)
    """Sticks: right, ahead, turn right, look up; added to the keys."""
    look: tuple[Degrees, Degrees] = (0.0, 0.0)
    """Degrees that the mouse has turned since the connection began, right and up: a sum, never a
    difference."""


class Prompt(Message, frozen=True, kw_only=True):
    """Say what the world shall be, from the next block on."""

    id: Count
    """The client's own; receipts repeat it."""
    text: Annotated[str, Meta(max_length=MAX_PROMPT)]
    mode: Name = "recache"
    """What becomes of the cache, as in `Switch`."""


class Switch(Message, frozen=True, kw_only=True):
    """Change the scene before the next block."""

    id: Count
    """As in `Prompt`."""
    mode: Name
    """One of those that `Welcome.world` tells of the policy."""


class Policy(Message, frozen=True, kw_only=True):
    """Go on under another cache policy from the next block on."""

    id: Count
    """As in `Prompt`."""
    name: Name
    """`NAME` or `NAME:key=value,...`."""


class Ack(Message, frozen=True, kw_only=True):
    """What has been shown: the server runs ahead of it by `Settings.max_lead_ms` at most."""

    epoch: Count
    """Of the frame, as its header says."""
    frame: Count
    """Newest frame on the screen."""
    shown_us: Micros
    """When it was, by the client's clock."""
    buffered: Count = 0
    """Frames that wait to be shown."""
    dropped: Count = 0
    """Frames of this connection that were never shown."""
    lag_ms: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    """Milliseconds from a key to its first frame on the screen, if one was measured since the last
    acknowledgement."""


class Settings(Message, frozen=True, kw_only=True):
    """How the connection wants to be served; what is None stays as it is."""

    max_lead_ms: Annotated[int, Meta(ge=50, le=10_000)] | None = None
    """Milliseconds of frames that may be made ahead of the screen; one block always may."""
    delivery: Delivery | None = None
    """What becomes of frames that the line is too slow for."""
    codec: Codec | None = None
    """One of those in `Hello`."""
    depth: bool | None = None
    """Send each frame's depth beside it."""
    plan: bool | None = None
    """Send the floor plan and the frames that the memory finds."""


class Pause(Message, frozen=True, kw_only=True):
    """Stand still, or go on."""

    paused: bool


class Step(Message, frozen=True, kw_only=True):
    """One block while paused."""


class Record(Message, frozen=True, kw_only=True):
    """Begin or end to record what is generated."""

    on: bool


class Clock(Message, frozen=True, kw_only=True):
    """Asks for the server's clock."""

    t0_us: Micros
    """When it was sent, by the client's clock."""


class Bye(Message, frozen=True, kw_only=True):
    """Ends the session; a connection that just goes leaves it there to be resumed."""


FromClient: TypeAlias = (
    Hello
    | Start
    | Input
    | Prompt
    | Switch
    | Policy
    | Ack
    | Settings
    | Pause
    | Step
    | Record
    | Clock
    | Bye
)
