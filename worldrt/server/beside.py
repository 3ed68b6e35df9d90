"""Pictures of the memory beside the video: about once a second, for those who asked."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor

from worldrt.protocol.packets import Coding, Flag, Header, Kind, Packet, write_packet
from worldrt.server.link import Link
from worldrt.server.mailbox import Side
from worldrt.server.seat import Made, Seat
from worldrt.server.sketch import plan, recalled

PAUSE_S = 0.9
"""Seconds between two pictures of a kind, at least."""


class Beside:
    """Draws what a walk's memory holds, in a thread that nobody waits for.

    Args:
        pool: where it is drawn.
        audience: who looks on, asked anew each time.
    """

    def __init__(self, pool: Executor, audience: Callable[[], Iterable[Link]]) -> None:
        self._pool, self._audience = pool, audience
        self._drawing: asyncio.Task[None] | None = None
        self._drawn: tuple[Made | None, set[Link]] = (None, set())
        self._next = 0.0

    def tick(self, seat: Seat, made: Made | None, epoch: int, now: float) -> None:
        """Draw again, if somebody looks on and there is something new.

        Args:
            seat: the walk.
            made: its newest block; None: there is none yet.
            epoch: of the walk.
            now: monotonic seconds.
        """
        links = {link for link in self._audience() if link.plan}
        seen, shown_to = self._drawn
        fresh = made is not seen or not links <= shown_to
        busy = self._drawing is not None and not self._drawing.done()
        if made is not None and links and fresh and not busy and now >= self._next:
            self._next, self._drawn = now + PAUSE_S, (made, links)
            self._drawing = asyncio.create_task(self._draw(seat, made, epoch, links))

    async def _draw(self, seat: Seat, made: Made, epoch: int, links: set[Link]) -> None:
        loop = asyncio.get_running_loop()
        for side in await loop.run_in_executor(self._pool, _sides, seat, made, epoch):
            for link in links:
                link.show_beside(side)


def _sides(seat: Seat, made: Made, epoch: int) -> list[Side]:
    """Both pictures, as far as there is something to be seen; takes some 20 ms."""
    places, chunk = seat.session.places, made.chunk
    if places is None:
        return []
    world, camera = seat.session.world, seat.session.world.camera
    found = []
    frame = chunk.first + len(chunk.frames) - 1
    head = {"flags": Flag.KEY, "epoch": epoch, "frame": frame, "chunk": made.seen.index}
    floor = plan(places.map)
    if floor is not None:
        picture, notes = floor
        # A PNG tells its size in the two numbers after its signature and the name of its header.
        width, height = (int.from_bytes(picture[at : at + 4]) for at in (16, 20))
        header = Header(kind=Kind.PLAN, coding=Coding.PNG, width=width, height=height, **head)
        found.append((header, picture, notes))
    strip = recalled(world, places.map, chunk.poses[-1], chunk.recalled)
    if strip is not None:
        picture, notes = strip
        size = {"width": camera.width * len(notes.frames), "height": camera.height}
        found.append((Header(kind=Kind.RECALLED, **size, **head), picture, notes))
    return [
        Side(head.kind, write_packet(Packet(header=head, picture=picture, notes=notes)), made.ended)
        for head, picture, notes in found
    ]
