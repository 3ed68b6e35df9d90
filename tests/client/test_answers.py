"""Who waits for what, and is told."""

import asyncio
from typing import Any

import pytest

from worldrt.client.answers import Answers
from worldrt.errors import ServerError
from worldrt.protocol.replies import Paused, Receipt
from worldrt.protocol.terms import State


def receipt(number: int) -> Receipt:
    return Receipt(id=number, state=State.APPLIED)


def test_each_gets_the_first_that_fits() -> None:
    async def work() -> None:
        answers = Answers()
        waiting: list[asyncio.Task[Any]] = [
            asyncio.create_task(answers.expect(Receipt, lambda said, n=n: said.id == n))
            for n in (1, 2)
        ]
        waiting.append(asyncio.create_task(answers.expect(Paused, lambda said: said.paused)))
        await asyncio.sleep(0)
        assert len(answers) == 3
        for message in (receipt(2), Paused(paused=False), receipt(2), Paused(paused=True)):
            answers.hear(message)
        await asyncio.sleep(0)
        assert [task.done() for task in waiting] == [False, True, True]
        answers.hear(receipt(1))
        assert [await task for task in waiting] == [receipt(1), receipt(2), Paused(paused=True)]
        assert len(answers) == 0

    asyncio.run(work())


def test_failing_and_giving_up_leave_nobody_behind() -> None:
    async def work() -> None:
        answers = Answers()
        failing, leaving = (
            asyncio.create_task(answers.expect(Paused, lambda said: True)) for _ in range(2)
        )
        await asyncio.sleep(0)
        leaving.cancel()
        answers.fail(ServerError("It is gone."))
        with pytest.raises(ServerError, match="It is gone."):
            await failing
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert len(answers) == 0

    asyncio.run(work())
