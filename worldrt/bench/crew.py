"""Things measured side by side, policies for example: a process a core, each of one thread."""

import signal
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import active_children, get_context
from typing import TypeVar

import cv2
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from worldrt.doctor import measure
from worldrt.errors import WorldrtError

Result = TypeVar("Result")

KEPT = "the rows finished before are kept, and the same command goes on from there"


def spread(
    work: Callable[[str], Result],
    policies: Sequence[str],
    left: str = KEPT,
    nouns: tuple[str, str] = ("policy", "policies"),
) -> Generator[tuple[str, Result], None, None]:
    """Do `work` for each policy, one a core at a time, and give the results as they come.

    Whatever ends it early (an error, Ctrl-C, a caller that stops) ends its processes at once.

    Args:
        work: can be pickled; runs in a fresh process with one thread.
        policies: names, at least one, all different.
        left: what a failure leaves behind, the end of its sentence.
        nouns: what they are, one and several, for where they are not policies.

    Raises:
        WorldrtError: one of them failed, by name.
    """
    waiting, running = deque(policies), dict[Future[Result], str]()
    before = set(active_children())
    workers = min(measure().cores, len(policies))
    crew = ProcessPoolExecutor(workers, get_context("spawn"), _begin)
    with crew, _bar(nouns[1]) as bar:
        task = bar.add_task("", total=len(policies))
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    policy = waiting.popleft()
                    running[crew.submit(work, policy)] = policy
                bar.update(task, description=" | ".join(running.values()))
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    policy = running.pop(future)
                    result = _result(future, f"{nouns[0].capitalize()} {policy!r}", left)
                    bar.advance(task)
                    yield policy, result
        except BaseException:
            for process in set(active_children()) - before:
                process.terminate()
            raise


def _begin() -> None:
    """Set a process up: one thread, and Ctrl-C is the parent's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _result(future: Future[Result], which: str, left: str) -> Result:
    try:
        return future.result()
    except Exception as error:  # whatever it was, the name belongs to it
        why = str(error).rstrip(".") or "no reason given"
        raise WorldrtError(f"{which} failed ({type(error).__name__}: {why}); {left}.") from error


def _bar(nouns: str) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(nouns),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
