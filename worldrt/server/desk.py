"""What is made of the messages of those who drive and those who look on."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from worldrt.errors import ConfigError, WorldrtError
from worldrt.memory.policy import SwitchMode
from worldrt.protocol import replies, requests
from worldrt.protocol.terms import Close, Message, State
from worldrt.server.access import Refusal
from worldrt.server.house import House
from worldrt.server.link import Leave, Link, micros
from worldrt.server.opening import check_bounded
from worldrt.server.seat import Seat
from worldrt.server.walk import Walk
from worldrt.world import World

log = logging.getLogger(__name__)


class Desk:
    """Takes the messages of one walk's connections.

    Args:
        walk: what they are about.
        house: what all walks share.
    """

    def __init__(self, walk: Walk, house: House) -> None:
        self._walk, self._house = walk, house
        self._look = (0.0, 0.0)
        self._changing: Future[int] | None = None

    def take(self, link: Link, message: Message, now: float) -> None:
        """Heed a message that `link` sent.

        Raises:
            Leave: the connection is to end.
        """
        drives = link is self._walk.driver
        if drives:  # it could not speak without having heard its welcome, and the token in it
            self._house.resumes.settle(self._walk.name)
        match message:
            case requests.Clock(t0_us=t0):
                came = micros(now)
                link.tell(replies.ClockIs(t0_us=t0, t1_us=came, t2_us=came))
            case requests.Settings():
                self._set(link, message)
            case requests.Hello():
                raise Leave(Refusal(Close.MALFORMED, "A client says hello once."))
            case requests.Bye() if not drives:
                raise Leave(Refusal(Close.ENDED, "You have left."))
            case requests.Input() if drives:
                self._steer(message, now)
            case requests.Ack() if drives:
                self._acknowledge(message, now)
            case _ if drives:
                self._house.lobby.active(self._walk.name, now)
                self._obey(link, message)

    def _obey(self, link: Link, message: Message) -> None:
        """Do what the one who drives asks for."""
        walk = self._walk
        match message:
            case requests.Start():
                walk.begin(message)
            case requests.Pause(paused=paused):
                walk.pause(paused)
            case requests.Step() if walk.seat is not None:
                with self._house.engine.changing():
                    walk.seat.step()
            case requests.Prompt(id=id):
                name = walk.loaded.info.name
                why = f"World {name!r} takes no text; walk on without it."
                link.tell(replies.Receipt(id=id, state=State.REFUSED, why=why))
            case requests.Switch(id=id, mode=mode):
                self._change(link, id, lambda seat: seat.switch(_mode(mode)))
            case requests.Policy(id=id, name=name):
                self._change(link, id, partial(_use, policy=name, world=walk.loaded.world))
            case requests.Record(on=on):
                self._record(link, on)
            case requests.Bye():
                walk.end(Refusal(Close.ENDED, "You have left."))

    def _steer(self, message: requests.Input, now: float) -> None:
        if message.keys or any(message.axes) or message.look != self._look:
            self._house.lobby.active(self._walk.name, now)
        self._look = message.look
        self._walk.inputs.take(message, now)

    def _acknowledge(self, ack: requests.Ack, now: float) -> None:
        walk = self._walk
        if ack.lag_ms is not None:
            self._house.metrics.photon.observe(ack.lag_ms / 1000)
        if walk.seat is not None and ack.epoch == walk.epoch:
            with self._house.engine.changing():
                walk.seat.pacer.acked(ack.frame, ack.buffered, now)

    def _set(self, link: Link, wish: requests.Settings) -> None:
        if wish.codec is not None and link.use(wish.codec):
            self._walk.show_again(link)
        link.depth = link.depth if wish.depth is None else wish.depth
        link.plan = link.plan if wish.plan is None else wish.plan
        if link is not self._walk.driver:
            return
        if wish.delivery is not None:
            link.mailbox.delivery = wish.delivery
        if wish.max_lead_ms is not None:
            self._walk.lead(wish.max_lead_ms)

    def _record(self, link: Link, on: bool) -> None:
        if self._walk.seat is None:
            link.tell(replies.Recording(on=False, why="There is no walk yet to record."))
        else:
            self._walk.films.record(on)

    def _change(self, link: Link, id: int, change: Callable[[Seat], int]) -> None:
        """Have something done to the session, with receipts."""
        seat = self._walk.seat
        why = ""
        if self._changing is not None and not self._changing.done():
            why = "Another change is under way; ask again when it is done."
        if seat is None:
            why = "There is no walk yet; begin one first."
        if seat is None or why:
            link.tell(replies.Receipt(id=id, state=State.REFUSED, why=why))
            return
        link.tell(replies.Receipt(id=id, state=State.RECEIVED))

        def tell(done: asyncio.Future[int]) -> None:
            try:
                receipt = replies.Receipt(id=id, state=State.APPLIED, chunk=done.result())
            except WorldrtError as error:
                receipt = replies.Receipt(id=id, state=State.REFUSED, why=str(error))
            except Exception:
                log.exception("a change could not be made")
                why = "The server failed; its log tells how."
                receipt = replies.Receipt(id=id, state=State.REFUSED, why=why)
            link.tell(receipt)

        self._changing = self._house.engine.submit(partial(change, seat))
        asyncio.wrap_future(self._changing).add_done_callback(tell)


def _mode(name: str) -> SwitchMode:
    try:
        return SwitchMode(name)
    except ValueError:
        raise ConfigError.unknown("switch mode", name, map(str, SwitchMode)) from None


def _use(seat: Seat, policy: str, world: World) -> int:
    check_bounded(world, policy)
    return seat.use_policy(policy)
