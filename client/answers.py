"""Who waits for which answer of the server."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from worldrt.errors import WorldrtError
from worldrt.protocol.terms import Message

_Answer = TypeVar("_Answer", bound=Message)


class Answers:
    """Futures of messages that are still to come; belongs to the running event loop."""

    def __init__(self) -> None:
        self._open: list[tuple[Callable[[Message], bool], asyncio.Future[Message]]] = []

    def __len__(self) -> int:
        return len(self._open)

    async def expect(self, kind: type[_Answer], fits: Callable[[_Answer], bool]) -> _Answer:
        """The next message of `kind` that fits.

        Raises:
            WorldrtError: what `fail` was given.
        """
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        entry = (lambda message: isinstance(message, kind) and fits(message), future)
        self._open.append(entry)
        try:
            answer = await future
        finally:
            self._open.remove(entry)
        assert isinstance(answer, kind)
        return answer

    def hear(self, message: Message) -> None:
        """A message has come."""
        for fits, future in self._open:
            if not future.done() and fits(message):
                future.set_result(message)

    def fail(self, error: WorldrtError) -> None:
        """Nothing that is waited for will come."""
        for _, future in self._open:
            if not future.done():
                future.set_exception(error)
