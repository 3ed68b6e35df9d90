"""Work spread over processes: all results, one clear sentence, and nothing left running."""

import os
import time
from multiprocessing import active_children

import pytest

from worldrt.bench.crew import spread
from worldrt.errors import WorldrtError

THREADS = "__import__('torch').get_num_threads()"


def test_results_come_with_their_names_from_processes_of_one_thread() -> None:
    jobs = [THREADS, "__import__('os').getpid()", "6 * 7"]
    found = dict(spread(eval, jobs))
    assert found.keys() == set(jobs)
    assert found["6 * 7"] == 42 and found[THREADS] == 1
    assert found[jobs[1]] != os.getpid()
    assert active_children() == []


def test_failure_names_the_policy_and_ends_the_others() -> None:
    begun = time.monotonic()
    sentence = "Policy '1 / 0' failed \\(ZeroDivisionError: division by zero\\); the rows finished"
    with pytest.raises(WorldrtError, match=sentence):
        list(spread(eval, ["__import__('time').sleep(100)", "1 / 0", "'never begun'"]))
    assert time.monotonic() - begun < 60
    assert active_children() == []


def test_failure_says_what_the_caller_left() -> None:
    with pytest.raises(WorldrtError, match="division by zero\\); nothing was written.$"):
        list(spread(eval, ["1 / 0"], "nothing was written"))


def test_killed_process_is_a_failure_too() -> None:
    with pytest.raises(WorldrtError, match="Policy .* failed \\(BrokenProcessPool"):
        list(spread(eval, ["__import__('os')._exit(9)"]))


def test_caller_that_stops_ends_the_processes() -> None:
    results = spread(eval, ["1", "__import__('time').sleep(100)"])
    assert next(results) == ("1", 1)
    begun = time.monotonic()
    results.close()
    assert time.monotonic() - begun < 30
    assert active_children() == []
