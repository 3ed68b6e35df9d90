"""A server that serves the viewer and plays a scene to it: what no real server does on demand."""

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import msgspec
import numpy as np
from PIL import Image
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

from worldrt.protocol import replies
from worldrt.protocol.packets import Flag, Header, Packet, View, write_packet
from worldrt.protocol.terms import KEYMAP, VERSION, Codec, Delivery, Message
from worldrt.protocol.wire import write
from worldrt.server.pages import read_viewer

SIZE = 64, 48
FPS = 15.0
PLAIN = Flag(0)
LEVEL = View((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 1.2)
INFO = replies.WorldInfo(
    name="stage",
    summary="A world of one picture.",
    fps=FPS,
    block_frames=4,
    lens=replies.Lens(width=SIZE[0], height=SIZE[1], fx=32.0, fy=32.0),
    move_step=0.2,
    turn_step=5.0,
    pitch_limit=60.0,
    takes_text=True,
    starts=("here", "there"),
    policy="window",
    policies=(replies.PolicyInfo(name="window", summary="Recent frames.", modes=("keep",)),),
)
WELCOME = replies.Welcome(
    version=VERSION,
    server="worldrt test",
    session="abc",
    resume="way-back",
    watch="glass",
    driver=True,
    keymap=KEYMAP,
    world=INFO,
    limits=replies.Limits(idle_s=600, lifetime_s=7200, detach_s=60, record_s=300),
    now_us=0,
)
READY = replies.Ready(
    epoch=1,
    start="here",
    seed=3,
    policy="window",
    frame=0,
    paused=False,
    codec=Codec.JPEG,
    max_lead_ms=500,
    delivery=Delivery.LATEST,
    assumed="",
    log="walk.jsonl",
)


class Player:
    """The server's side of one connection."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    def hear(self, kind: str, seconds: float = 20.0) -> dict[str, Any]:
        """The next message of a kind; clocks are answered, all others passed over.

        Raises:
            TimeoutError: none came in time.
        """
        until = time.monotonic() + seconds
        while True:
            text = self._connection.recv(timeout=max(until - time.monotonic(), 0))
            message = msgspec.json.decode(text)
            if message["t"] == kind:
                return message
            if message["t"] == "clock":
                now = time.monotonic_ns() // 1000
                self.tell(replies.ClockIs(t0_us=message["t0_us"], t1_us=now, t2_us=now))

    def tell(self, message: Message) -> None:
        self._connection.send(write(message))

    def show(self, packet: Packet) -> None:
        self._connection.send(write_packet(packet))

    def frame(
        self,
        index: int,
        grey: int,
        pose: View = LEVEL,
        epoch: int = 1,
        flags: Flag = PLAIN,
    ) -> None:
        """A frame of one grey."""
        picture = coded(np.full((SIZE[1], SIZE[0], 3), grey, np.uint8))
        head = Header(
            flags=flags,
            epoch=epoch,
            frame=index,
            chunk=index // 4,
            index=index % 4,
            count=4,
            width=SIZE[0],
            height=SIZE[1],
            pts_us=round(1e6 * index / FPS),
            sent_us=time.monotonic_ns() // 1000,
        )
        self.show(Packet(header=head, picture=picture, pose=pose))

    def close(self, code: int, why: str) -> None:
        self._connection.close(code, why)

    def linger(self) -> None:
        """Read on until the client goes."""
        while True:
            self.hear("never", 60)


def coded(picture: np.ndarray, kind: str = "JPEG") -> bytes:
    """[Y, X, 3] as a file."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, kind)
    return out.getvalue()


@contextmanager
def playing(scene: Callable[[Player], None]) -> Iterator[str]:
    """A server on which `scene` is played to each who connects; gives the URL of its page."""
    pages = read_viewer()

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        if request.headers.get("Upgrade"):
            return None
        page = pages.get(request.path)
        if page is None:
            return Response(404, "Not Found", Headers())
        length = str(len(page.content))
        headers = Headers({"Content-Type": page.kind, "Content-Length": length})
        return Response(200, "OK", headers, page.content)

    def play(connection: ServerConnection) -> None:
        try:
            scene(Player(connection))
        except (ConnectionClosed, TimeoutError):
            pass

    with serve(
        play, "127.0.0.1", 0, process_request=answer, subprotocols=[Subprotocol(VERSION)]
    ) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}/"
