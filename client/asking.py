"""What can be asked of a server, and the wait until it has answered."""

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urljoin

from worldrt.client.answers import Answers
from worldrt.client.outbox import Outbox
from worldrt.client.player import Player
from worldrt.errors import ServerError, WorldrtError
from worldrt.protocol import replies, requests
from worldrt.protocol.terms import Message, State

_Answer = TypeVar("_Answer", bound=Message)


class Requests:
    """Base of `Walk`: what is asked waits for its answer in `answers`.

    Args:
        url: of the server.
        outbox: what is to be sent.
        wake: tells that there is something in it.
        player: hurries on while something is waited for that takes a block.
    """

    def __init__(self, url: str, outbox: Outbox, wake: Callable[[], None], player: Player) -> None:
        self._url = url
        self._outbox = outbox
        self._wake = wake
        self._player = player
        self._answers = Answers()
        self._asked = 0
        self._over: WorldrtError | None = None
        self.ready: replies.Ready
        """What the walk began with, or goes on with."""

    async def switch(self, mode: str) -> replies.Receipt:
        """Change the scene before the next block; returns once a block has obeyed it.

        Until then chunks count as shown when they come: the change takes a block that nobody could
        take meanwhile.

        Raises:
            ServerError: it is refused, with the reason.
        """
        return await self._asking(requests.Switch(id=self._number(), mode=mode))

    async def prompt(self, text: str, mode: str = "recache") -> replies.Receipt:
        """Say what the world shall be; as `switch`."""
        return await self._asking(requests.Prompt(id=self._number(), text=text, mode=mode))

    async def policy(self, name: str) -> replies.Receipt:
        """Go on under another cache policy, `NAME` or `NAME:key=value,...`; as `switch`."""
        return await self._asking(requests.Policy(id=self._number(), name=name))

    async def pause(self) -> None:
        """Stand still."""
        await self._say(requests.Pause(paused=True), replies.Paused, lambda said: said.paused)

    async def go_on(self) -> None:
        """Walk on after `pause`."""
        await self._say(requests.Pause(paused=False), replies.Paused, lambda said: not said.paused)

    def step(self) -> None:
        """One block while paused; take it as any other chunk."""
        self._ask(requests.Step())

    async def restart(
        self, *, start: str | None = None, seed: int | None = None, policy: str | None = None
    ) -> replies.Ready:
        """Begin another walk in place of this one; None: as it was."""
        was = self.ready
        begin = requests.Start(
            start=was.start if start is None else start,
            seed=was.seed if seed is None else seed,
            policy=was.policy if policy is None else policy,
        )
        return await self._say(begin, replies.Ready, lambda said: said.epoch > was.epoch)

    async def record(self, on: bool) -> str:
        """Begin or end to record what is generated; returns where the finished film is fetched.

        Raises:
            ServerError: there is no recording, with the reason.
        """
        said = await self._say(
            requests.Record(on=on),
            replies.Recording,
            lambda said: bool(said.why) or (said.on if on else bool(said.url)),
        )
        if said.why and not said.url:
            raise ServerError(said.why)
        return urljoin(self._url.replace("ws", "http", 1), said.url) if said.url else ""

    # Inside.

    def _ask(self, message: Message) -> None:
        if self._over is not None:
            raise self._over
        self._outbox.ask(message)
        self._wake()

    async def _say(
        self, message: Message, kind: type[_Answer], fits: Callable[[_Answer], bool]
    ) -> _Answer:
        self._ask(message)
        self._player.hurry(True)
        try:
            return await self._answers.expect(kind, fits)
        finally:
            self._player.hurry(False)

    async def _asking(
        self, message: requests.Switch | requests.Prompt | requests.Policy
    ) -> replies.Receipt:
        receipt = await self._say(
            message,
            replies.Receipt,
            lambda said: said.id == message.id and said.state is not State.RECEIVED,
        )
        if receipt.state is State.REFUSED:
            raise ServerError(receipt.why)
        return receipt

    def _number(self) -> int:
        self._asked += 1
        return self._asked
