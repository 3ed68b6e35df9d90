"""How many bytes of tensors live at once: what a cache really costs, workspaces included."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate

from torch.autograd.profiler import profile


@dataclass
class Peak:
    """What was found.

    Args:
        bytes: the most that lived at once, of those allocated inside.
        left: those that still lived at the end.
    """

    bytes: int = 0
    left: int = 0


@contextmanager
def peak() -> Iterator[Peak]:
    """Measure the CPU tensors allocated inside; the figures stand once the block has ended.

    It asks torch's allocator, by way of its profiler, and so sees what an operation takes for
    itself and gives back, which a dispatch mode does not: a cast operand, a copy for a matrix
    product. It sees neither what lived before, freed inside or not, nor memory that numpy or a
    library such as MKL takes past the allocator. Blocks of it can't be nested.
    """
    found, profiler = Peak(), profile(profile_memory=True)
    with profiler:
        yield found
    assert profiler.kineto_results is not None
    events = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    changes = (event.nbytes() for event in events)  # pyright: ignore  # torch's stub lacks nbytes
    living = list(accumulate(changes, initial=0))
    found.bytes, found.left = max(living), living[-1]
