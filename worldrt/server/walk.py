"""One session as the loop sees it: who drives, who looks on, what they are shown."""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

from worldrt.errors import WorldrtError
from worldrt.protocol import replies, requests
from worldrt.protocol.terms import KEYMAP, VERSION, Close, Message
from worldrt.server.access import Refusal
from worldrt.server.beside import Beside
from worldrt.server.course import Course
from worldrt.server.films import Films
from worldrt.server.house import House, Loaded
from worldrt.server.inputs import Inputs
from worldrt.server.link import Leave, Link, micros
from worldrt.server.pacing import Pacer
from worldrt.server.progress import Progress
from worldrt.server.publisher import Publisher
from worldrt.server.seat import Made, Seat, Seen

log = logging.getLogger(__name__)
A_DAY_S = 86400.0
"""Seconds beyond which nobody is told when a place must become free."""
LEAD_MS = 500
"""Milliseconds of frames that may be ahead of a screen whose client wishes nothing else."""


class Walk:
    """A session: one driver, or none for a moment, and those who look on. Used on the loop only.

    Args:
        name: of the session.
        house: what all share.
        loaded: the world.
        ended: told that it is over.
    """

    def __init__(
        self, name: str, house: House, loaded: Loaded, ended: Callable[["Walk"], None]
    ) -> None:
        self.name, self.loaded = name, loaded
        self.driver: Link | None = None
        self.spectators: set[Link] = set()
        self.seat: Seat | None = None
        """The walk on the model thread, once it has begun."""
        self.inputs = Inputs()
        self.epoch = 0
        self._house, self._ended = house, ended
        self._loop = asyncio.get_running_loop()
        self._watch = house.watches.issue(name)
        self._lead_ms = LEAD_MS
        self._wanted: requests.Start | None = None
        self._beginning: asyncio.Task[None] | None = None
        self._progress: Progress | None = None
        self._begun, self._assumed, self._log_name = requests.Start(), "", ""
        self._paused = self._over = False
        self._first = self._frames = self._applied = 0
        self._course = Course(loaded.info.block_frames)
        self._beside = Beside(house.sketcher, self.links)
        self._publisher = Publisher(
            loaded.world.camera,
            loaded.info.fps,
            house.coders,
            self.links,
            self._course.coded,
            lambda _: self.end(
                Refusal(Close.FAULT, "The pictures can't be coded; the server's log tells why.")
            ),
        )
        self.films = Films(house.shelf, loaded.info, house.serving.record_s, self._tell_driver)

    # Who is there.

    def links(self) -> tuple[Link, ...]:
        """All connections."""
        driver = () if self.driver is None else (self.driver,)
        return *driver, *self.spectators

    def _tell_driver(self, message: Message) -> None:
        if self.driver is not None:
            self.driver.tell(message)

    def tell(self, message: Message) -> None:
        """Say something to all."""
        for link in self.links():
            link.tell(message)

    def attach(self, link: Link, now: float) -> None:
        """`link` drives from now on, in place of the one that did."""
        if self.driver is not None:
            reason = "The session goes on in another connection."
            self.driver.leave(Refusal(Close.REPLACED, reason))
        self.driver = link
        self.inputs.rebase()
        self._applied = 0
        self._house.lobby.attach(self.name, now)
        link.tell(self._welcome(driver=True))
        if self.seat is not None:
            with self._house.engine.changing():
                self.seat.stand(away=True)
                self.seat.stand(away=False)
            self._turn_over(max(self._frames - 1, 0))

    def watch(self, link: Link) -> None:
        """`link` looks on.

        Raises:
            Leave: too many do.
        """
        most = self._house.serving.spectators
        if len(self.spectators) >= most:
            raise Leave(Refusal(Close.FULL, f"{most} look on already."))
        self.spectators.add(link)
        link.tell(self._welcome(driver=False))
        self._show(link)

    def detach(self, link: Link, now: float) -> None:
        """`link` is gone; without a driver the walk stands still until one comes back."""
        self.spectators.discard(link)
        if self.driver is not link:
            return
        self.driver = None
        self.inputs.release()
        if self.seat is not None:
            with self._house.engine.changing():
                self.seat.stand(away=True)
        self._house.lobby.detach(self.name, now)
        if self.name not in self._house.lobby.seated:
            self.end(Refusal(Close.ENDED, "It has lost its turn."))

    def end(self, refusal: Refusal) -> None:
        """It is over for all; a second time does nothing."""
        if self._over:
            return
        self._over = True
        if self.driver is not None:
            self.driver.leave(refusal)
        for link in self.spectators:
            link.leave(Refusal(Close.ENDED, "The session that you watched is over."))
        if self.seat is not None:
            self._house.engine.remove(self.seat)
            self.seat = None
        self.films.close()
        self._publisher.close()
        self._ended(self)
        log.info("session %s is over: %s", self.name, refusal.why)

    # What it does.

    def begin(self, wish: requests.Start) -> None:
        """Begin a walk, or another one in place of the one that runs; the latest wish counts."""
        self._wanted = wish
        self.admitted()

    def admitted(self) -> None:
        """It has a place: what was wished for begins."""
        idle = self._beginning is None or self._beginning.done()
        if self._wanted and idle and self.name in self._house.lobby.seated:
            self._beginning = asyncio.create_task(self._begin())

    def pause(self, paused: bool) -> None:
        """Stand still, or go on."""
        self._paused = paused
        if not paused:
            self.inputs.release()  # what was tapped meanwhile is of no use any more
        if self.seat is not None:
            with self._house.engine.changing():
                self.seat.stand(paused=paused)
        self.tell(replies.Paused(paused=paused))

    def show_again(self, link: Link) -> None:
        """Send `link` the newest frame once more."""
        self._publisher.repeat(link, self.epoch, self._first, time.monotonic())

    def lead(self, max_lead_ms: int) -> None:
        """Run ahead of the screen by so much at most."""
        self._lead_ms = max_lead_ms
        if self.seat is not None:
            with self._house.engine.changing():
                self.seat.pacer.max_lead_ms = max_lead_ms

    def tick(self, now: float, rss_bytes: int) -> None:
        """Say how it goes; called twice a second."""
        turn = self._house.lobby.turn(self.name, now)
        if turn is not None:
            eta = turn.eta_s if turn.eta_s is None or turn.eta_s < A_DAY_S else None
            self.tell(replies.Queue(**turn._replace(eta_s=eta)._asdict()))
        elif self._progress is not None:
            self.tell(self._progress.message())
        elif self.seat is not None:
            lead = self.seat.pacer.lead_ms(now)
            self._house.metrics.lead.set(lead / 1000)
            stats = self._course.stats(
                now,
                lead_ms=lead,
                dropped=self.driver.mailbox.dropped if self.driver else 0,
                spectators=len(self.spectators),
                rss_bytes=rss_bytes,
            )
            if stats is not None:
                self.tell(stats)
            self._beside.tick(self.seat, self._course.newest, self.epoch, now)

    # Inside.

    async def _begin(self) -> None:
        while self._wanted is not None and not self._over:
            wish, self._wanted = self._wanted, None
            try:
                await self._open(wish)
            except WorldrtError as error:
                self.tell(replies.Fault(code=Close.MALFORMED, text=str(error)))
            except Exception:
                log.exception("session %s could not begin", self.name)
                self.end(
                    Refusal(Close.FAULT, "The walk could not begin; the server's log says why.")
                )
            finally:
                self._progress = None

    async def _open(self, wish: requests.Start) -> None:
        house, info, opener = self._house, self.loaded.info, self.loaded.opener
        progress = self._progress = opener.progress()
        self.tell(progress.message())
        opened = await opener.open(wish, progress)
        try:
            log = await opener.log(opened, self.name)
        except WorldrtError as error:
            log = None
            self.tell(replies.Event(text=str(error)))
        seat = Seat(
            opened.session,
            self.inputs,
            Pacer(info.fps, info.block_frames, self._lead_ms),
            None if house.serving.through_walls else opened.session.walls,
            log,
            partial(self._loop.call_soon_threadsafe, self._seen),
            partial(self._loop.call_soon_threadsafe, self._made),
            partial(self._loop.call_soon_threadsafe, self._failed),
        )
        if self._over:
            house.engine.submit(seat.close)
            return
        if self.seat is not None:
            house.engine.remove(self.seat)
        self.inputs.release()
        seat.stand(paused=self._paused, away=self.driver is None)
        seat.step()  # one who has paused sees at least where he is
        self.seat, self._frames = seat, 0
        self._begun, self._assumed = opened.wish, opened.assumed
        self._log_name = log.path.name if log else ""
        self._publisher.begin()
        self._turn_over(0)
        house.engine.add(seat)

    def _turn_over(self, first: int) -> None:
        """Another epoch, whose frame `first` has the time 0."""
        self.epoch += 1
        self._first = first
        for link in self.links():
            self._show(link)

    def _show(self, link: Link) -> None:
        """Tell `link` where the walk stands, and show it."""
        if self.seat is None:
            return
        link.mailbox.forget()
        link.tell(
            replies.Ready(
                epoch=self.epoch,
                start=self._begun.start,
                seed=self._begun.seed,
                policy=self.seat.session.policy,
                frame=self._frames,
                paused=self._paused,
                codec=link.codec,
                max_lead_ms=self._lead_ms,
                delivery=link.mailbox.delivery,
                assumed=self._assumed,
                log=self._log_name,
            )
        )
        self.show_again(link)

    def _seen(self, seat: Seat, seen: Seen) -> None:
        if seat is not self.seat:
            return
        self._frames = seen.sight.first + len(seen.sight.frames)
        self.films.add(seen.sight.frames)
        self._publisher.publish(seen, self.epoch, self._first)
        if self.driver is not None and seen.latched.seq > self._applied:
            self._applied = seen.latched.seq
            self.driver.tell(
                replies.Applied(
                    seq=seen.latched.seq,
                    chunk=seen.index,
                    received_us=seen.latched.received_us,
                    latched_us=micros(seen.began),
                    done_us=micros(seen.done),
                )
            )

    def _made(self, seat: Seat, made: Made) -> None:
        if seat is self.seat:
            self._house.metrics.count(made.chunk)
            self._course.add(made)

    def _failed(self, seat: Seat, error: Exception) -> None:
        if seat is self.seat:
            why = str(error) if isinstance(error, WorldrtError) else "its log says why."
            self.end(Refusal(Close.FAULT, f"The server could not make a block: {why}"))

    def _welcome(self, driver: bool) -> replies.Welcome:
        house = self._house
        return replies.Welcome(
            version=VERSION,
            server=house.release,
            session=self.name,
            resume=house.resumes.issue(self.name) if driver else "",
            watch=self._watch if driver else "",
            driver=driver,
            keymap=KEYMAP,
            world=self.loaded.info,
            limits=house.serving.limits,
            now_us=micros(time.monotonic()),
        )
