"""The manual is true: its tables are those of the code, and its client walks."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, get_args

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from worldrt.protocol.manual import MANUAL, renewed
from worldrt.protocol.packets import Flag, Header, Packet, View, write_packet
from worldrt.protocol.replies import (
    FromServer,
    Lens,
    Limits,
    PolicyInfo,
    Queue,
    Ready,
    Welcome,
    WorldInfo,
)
from worldrt.protocol.requests import Ack, Bye, FromClient, Hello, Input, Start
from worldrt.protocol.terms import KEYMAP, VERSION, Close, Codec, Delivery, Message
from worldrt.protocol.wire import read_from_client, write

TEXT = MANUAL.read_text()


def test_the_tables_are_up_to_date() -> None:
    assert renewed(TEXT) == TEXT, "renew them: python -m worldrt.protocol.manual"


@pytest.mark.parametrize("kinds", [FromClient, FromServer], ids=["client", "server"])
def test_every_message_and_field_is_told(kinds: Any) -> None:
    after = TEXT.index(
        "<!-- table requests -->" if kinds is FromClient else "<!-- table replies -->"
    )
    for kind in get_args(kinds):
        head = TEXT.index(f"\n### `{kind.__struct_config__.tag}`\n", after)
        section = TEXT[head : TEXT.index("<!-- end -->", head)].split("\n### ")[1]
        for field in msgspec.structs.fields(kind):
            assert f"\n| `{field.name}` |" in section, f"{kind.__name__}.{field.name}"


def test_every_header_field_flag_and_close_is_told() -> None:
    for name in Header.__dataclass_fields__:
        assert f"| `{name}` | u" in TEXT
    for name in [*Flag.__members__, *Close.__members__]:
        assert f"| {name} |" in TEXT


@pytest.mark.parametrize("name", re.findall(r"\b[A-Z]{3,}_[A-Z]{1,}\b", TEXT))
def test_a_limit_that_is_named_is_in_the_table(name: str) -> None:
    assert f"| `{name}` |" in TEXT or name in Close.__members__


def test_a_table_of_another_day_is_made_anew() -> None:
    stale = TEXT.replace("| 4003 | RATE |", "| 4999 | RATE |")
    assert stale != TEXT
    assert renewed(stale) == TEXT


# The least client, as it stands in the manual, against a server of a few lines.

WORLD = WorldInfo(
    name="meadow",
    summary="Grass.",
    fps=15.0,
    block_frames=1,
    lens=Lens(width=8, height=6, fx=4.0, fy=4.0),
    move_step=0.2,
    turn_step=5.0,
    pitch_limit=0.0,
    takes_text=False,
    starts=("hill",),
    policy="window",
    policies=(PolicyInfo(name="window", summary="The newest.", modes=()),),
)
WELCOME = Welcome(
    version=VERSION,
    server="worldrt 0",
    session="maple",
    resume="r",
    watch="w",
    driver=True,
    keymap=KEYMAP,
    world=WORLD,
    limits=Limits(idle_s=60, lifetime_s=600, detach_s=30, record_s=60),
    now_us=0,
)
READY = Ready(
    epoch=4,
    start="hill",
    seed=0,
    policy="window",
    frame=0,
    paused=False,
    codec=Codec.JPEG,
    max_lead_ms=500,
    delivery=Delivery.LATEST,
    assumed="",
    log="",
)


def frame(index: int, epoch: int = 4) -> bytes:
    """A packet whose picture says which it is."""
    view = View((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 1.0) if index % 2 else None
    header = Header(epoch=epoch, frame=index)
    return write_packet(Packet(header=header, picture=b"picture %d" % index, pose=view))


@contextmanager
def meadow(heard: list[Message | None]) -> Iterator[str]:
    """A server that shows the next frame when the one before is acknowledged."""

    def attend(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                message = read_from_client(connection.recv())
                heard.append(message)
                match message:
                    case Hello():
                        connection.send(write(WELCOME))
                        connection.send(write(Queue(position=1, waiting=1, eta_s=None)))
                    case Start():
                        connection.send(frame(99, epoch=3))  # of the walk before
                        connection.send(write(READY))
                        connection.send(frame(0))
                    case Ack(frame=shown) if shown < 6:
                        connection.send(frame(shown + 1))

    server = serve(attend, "127.0.0.1", 0, subprotocols=["worldrt.v1"], compression=None)  # type: ignore[list-item]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
    finally:
        server.shutdown()
        thread.join()


def test_the_least_client_walks() -> None:
    code = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert code is not None
    assert len(code[1].splitlines()) < 60
    names: dict[str, Any] = {"__name__": "client"}
    exec(code[1], names)
    heard: list[Message | None] = []
    with meadow(heard) as url:
        picture = names["walk"](url)
    assert picture == b"picture 6"
    assert heard[:2] == [Hello(versions=(VERSION,)), Start()]
    assert heard[-1] == Bye()
    assert [message.frame for message in heard if isinstance(message, Ack)] == [*range(7)]
    inputs = [message for message in heard if isinstance(message, Input)]
    assert [message.seq for message in inputs] == [*range(1, len(inputs) + 1)]
    assert {message.keys for message in inputs} == {KEYMAP["W"]}
