"""What the server tells a client, in JSON; as in `requests`, but times are the server's clock."""

from typing import TypeAlias

import msgspec

from worldrt.protocol.terms import Codec, Delivery, Message, Micros, State


class Lens(msgspec.Struct, frozen=True, kw_only=True):
    """Pinhole camera in pixels; the first pixel's centre is (0.5, 0.5)."""

    width: int
    height: int
    fx: float
    fy: float


class PolicyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A cache policy that can be chosen."""

    name: str
    """What `Start` and `Policy` call it."""
    summary: str
    """One sentence."""
    modes: tuple[str, ...]
    """Changes of scene that it supports."""


class WorldInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a viewer must know of a world."""

    name: str
    summary: str
    """One sentence."""
    fps: float
    """Frames a second on the screen."""
    block_frames: int
    """Frames that are generated together and obey one input."""
    lens: Lens
    """Of each frame."""
    move_step: float
    """Metres a frame of a held key."""
    turn_step: float
    """Degrees a frame."""
    pitch_limit: float
    """Degrees; 0: the camera stays level."""
    takes_text: bool
    """Whether it heeds a `Prompt`."""
    starts: tuple[str, ...]
    """Where a walk may begin; the first one if none is asked for."""
    policy: str
    """Its own."""
    policies: tuple[PolicyInfo, ...]
    """All that may be chosen."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the server allows."""

    idle_s: float
    """Seconds without a key after which a session ends."""
    lifetime_s: float
    """Seconds after which a session ends in any case."""
    detach_s: float
    """Seconds that a session waits for its client to come back."""
    record_s: float
    """Seconds that a recording may be long."""


class Welcome(Message, frozen=True, kw_only=True):
    """The answer to `Hello`."""

    version: str
    """That both speak."""
    server: str
    """`worldrt` and its release."""
    session: str
    """Short name of the session, no secret."""
    resume: str
    """Takes the session up again, once; empty for a spectator."""
    watch: str
    """Lets others look on; empty for a spectator."""
    driver: bool
    """False: read-only."""
    keymap: dict[str, int]
    """Bit of each key of `Input.keys`."""
    world: WorldInfo
    limits: Limits
    now_us: Micros
    """The server's clock."""


class Queue(Message, frozen=True, kw_only=True):
    """All places are taken; sent again at least every two seconds."""

    position: int
    """1: the next to come in."""
    waiting: int
    """How many wait in all."""
    eta_s: float | None
    """Seconds until a place must become free by the limits; None: nobody knows."""


class Loading(Message, frozen=True, kw_only=True):
    """What is being made ready; sent again at least every two seconds."""

    stage: str
    """A few words for a person."""
    fraction: float
    """0 to 1."""
    eta_s: float | None
    """Seconds that are left; None: nobody knows."""


class Ready(Message, frozen=True, kw_only=True):
    """A walk begins or goes on; frames of its epoch follow."""

    epoch: int
    """Rises with each walk and with each resumption; frames of an older one are stale."""
    start: str
    seed: int
    policy: str
    """With its options, if it was given any."""
    frame: int
    """Index of the next frame."""
    paused: bool
    codec: Codec
    """How this connection is served, as the following two: see `Settings`."""
    max_lead_ms: int
    delivery: Delivery
    assumed: str
    """What was assumed of the start because it can't be known."""
    log: str
    """Name of the action log; empty: none is written."""


class Applied(Message, frozen=True, kw_only=True):
    """An input has become a block; times by the server's clock."""

    seq: int
    """Of the `Input`: the newest that the block obeys."""
    chunk: int
    """Index of the block, as in the headers of its frames."""
    received_us: Micros
    """When the input came."""
    latched_us: Micros
    """When the block began with it."""
    done_us: Micros
    """When its frames were there, not yet coded."""


class Receipt(Message, frozen=True, kw_only=True):
    """What became of a prompt, a switch or a policy."""

    id: int
    """Of the request."""
    state: State
    """First received, then applied; or refused."""
    chunk: int | None = None
    """The first block that it holds for."""
    why: str = ""
    """A sentence, if it was refused."""


class Partition(msgspec.Struct, frozen=True, kw_only=True):
    """A region of the cache."""

    name: str
    frames: int
    """Latent frames in it."""
    tokens: int
    bytes: int


class Stats(Message, frozen=True, kw_only=True):
    """How it goes; twice a second."""

    chunk: int
    """Index of the newest block."""
    fps: float
    """Frames a second that were generated of late."""
    capacity_fps: float
    """Frames a second that could be: without waiting for the screen."""
    stage_ms: dict[str, float]
    """Milliseconds of the newest block by stage: `Chunk.stage_ms`, encode and queue."""
    partitions: tuple[Partition, ...]
    evicted: int
    """Latent frames that have left the cache."""
    points: int
    """Of the spatial memory, as the following two."""
    keyframes: int
    memory_bytes: int
    lead_ms: float
    """Milliseconds of frames ahead of the screen."""
    dropped: int
    """Frames that this connection was too slow for."""
    spectators: int
    rss_bytes: int
    """Memory of the server's process."""


class Recording(Message, frozen=True, kw_only=True):
    """How the recording goes."""

    on: bool
    frames: int = 0
    """Recorded so far."""
    url: str = ""
    """Where the finished one can be fetched, once it is."""
    why: str = ""
    """A sentence, if it ended by itself or could not begin."""


class Paused(Message, frozen=True, kw_only=True):
    """Whether the walk stands still; to spectators too."""

    paused: bool


class Event(Message, frozen=True, kw_only=True):
    """Something worth a line to a person."""

    text: str


class Fault(Message, frozen=True, kw_only=True, tag="error"):
    """Something went wrong; if it ends the connection, a close with the same code follows."""

    code: int
    """Of the close."""
    text: str
    """One sentence."""
    retryable: bool = False
    """Whether to come back by oneself."""


class ClockIs(Message, frozen=True, kw_only=True, tag="clock"):
    """The answer to `Clock`."""

    t0_us: Micros
    """As it was asked."""
    t1_us: Micros
    """When it came, by the server's clock."""
    t2_us: Micros
    """When this was sent."""


FromServer: TypeAlias = (
    Welcome
    | Queue
    | Loading
    | Ready
    | Applied
    | Receipt
    | Stats
    | Recording
    | Paused
    | Event
    | Fault
    | ClockIs
)
