"""Finding a policy by name, reading its options, and what its parts amount to."""

import pytest

from worldrt.errors import ConfigError
from worldrt.memory.average import Averages, LoneAverages
from worldrt.memory.mid import Bounds
from worldrt.memory.packed import Packed
from worldrt.memory.policy import (
    Partition,
    Policy,
    Rebuild,
    Switches,
    SwitchMode,
    describe,
    find,
    names,
)
from worldrt.memory.positions import Contiguous, Window
from worldrt.memory.quantize import CODECS


def test_every_file_is_a_policy_that_says_where_it_comes_from() -> None:
    known = {"full", "pack", "window", "memrope", "adaptive-sink", "temp"}
    assert known <= set(names()) and names() == sorted(names())
    for name in names():
        assert find(name, 3).name == name
        row = describe(name)
        assert row.name == name and "_" not in name
        assert row.summary.endswith(".") and row.source
        assert not any("\n" in cell for cell in row)


def test_a_line_names_the_options() -> None:
    assert describe("memrope").options == "sink, recent, long, short, memory, codec"
    assert describe("full").options == "codec"


@pytest.mark.parametrize(
    "spec, says",
    [
        ("windw", "Unknown policy 'windw': did you mean 'window'? choose one of "),
        ("adaptive_sink", "Unknown policy 'adaptive_sink': did you mean 'adaptive-sink'? "),
        ("", "Unknown policy '': choose one of "),
        ("zzz", "Unknown policy 'zzz': choose one of"),
        ("policy", "Unknown policy 'policy'"),
        ("window:recnt=3", "Unknown option of policy 'window' 'recnt': did you mean 'recent'? "),
        ("window:block_frames=3", "Unknown option of policy 'window' 'block_frames'"),
        ("full:sink=1", "Unknown option of policy 'full' 'sink': choose one of codec."),
        ("window:sink=two", "Option 'sink' of policy 'window' needs a whole number, got 'two'."),
        ("window:sink=2.5", "needs a whole number, got '2.5'."),
        ("window:sink", "Option 'sink' of policy 'window' needs a whole number, got ''."),
        ("temp:same=much", "Option 'same' of policy 'temp' needs a number, got 'much'."),
        ("longlive:global_sink=maybe", "needs true or false, got 'maybe'."),
        (
            "memrope:memory=frame",
            "Option 'memory' of policy 'memrope' needs one of token, copies, grid, got 'frame'.",
        ),
        ("window:codec=int5", "Unknown codec 'int5': did you mean 'int"),
        ("window:codec=", "Unknown codec ''"),
        ("window:sink=-1", "Policy 'window' counts frames from 0 up, got sink -1"),
        ("window:recent=-3", "recent -3"),
        ("pack:mid=-1", "mid -1"),
        ("pack:top=-1", "top -1"),
        ("pack:sink=4", "Policy 'pack' keeps whole blocks: sink=4 is no multiple of 3 frames."),
        ("pack:recent=5", "recent=5 is no multiple of 3 frames."),
    ],
)
def test_specs_that_make_no_sense(spec: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find(spec, 3)
    assert says in str(caught.value)


def test_options_are_read_in_any_order() -> None:
    one, two = find("window:sink=4,recent=8", 3), find("window:recent=8,sink=4", 3)
    assert one.partition == two.partition == Partition(sink=4, recent=8)


@pytest.mark.parametrize("text, number", [("0.25", 0.25), ("1", 1.0), ("5e-2", 0.05)])
def test_options_that_are_numbers(text: str, number: float) -> None:
    part = find(f"memrope:long={text}", 3).mid
    assert isinstance(part, LoneAverages) and part.long == number and part.short == 0.1


@pytest.mark.parametrize("text, kept", [("true", True), ("1", True), ("false", False)])
def test_options_that_are_true_or_false(text: str, kept: bool) -> None:
    assert find(f"longlive:global_sink={text}", 3).switches.renew_sink != kept


def test_options_that_are_one_of_some_words() -> None:
    copies, grid = (find(f"memrope:memory={word}", 3).mid for word in ("copies", "grid"))
    assert copies == Averages(long=0.01, short=0.1)
    assert grid == Averages(long=0.01, short=0.1, grid=True)


@pytest.mark.parametrize("name", ["int8", "int4", "int2", "bf16"])
def test_a_codec_goes_with_every_policy(name: str) -> None:
    assert find("window", 3).codec is None
    for policy in ("window:sink=1,", "full:", "memrope:"):
        assert find(f"{policy}codec={name}", 3).codec == CODECS[name]


@pytest.mark.parametrize("mid, top, attended", [(16, 4, 4), (16, 0, 16), (3, 4, 3), (0, 4, 0)])
def test_attended_blocks(mid: int, top: int, attended: int) -> None:
    part = find(f"pack:mid={mid},top={top}", 3).mid
    assert isinstance(part, Packed) and part.attended == attended


# What a policy's parts amount to.

PLAIN = Partition(sink=3, recent=4)


def test_raw_keys_are_kept_only_where_a_part_needs_them() -> None:
    assert not Policy(name="still", partition=PLAIN).moves
    assert Policy(name="moved", partition=PLAIN, positions=Contiguous()).moves
    assert Policy(name="raw", partition=PLAIN, mid=Averages(long=0.1, short=0.1)).moves
    assert find("pack", 3).moves and not find("window", 3).moves and not find("full", 3).moves
    assert not find("adaptive-sink", 3).moves


@pytest.mark.parametrize(
    "policy, slots, most",
    [
        (Policy(name="a", partition=PLAIN), 10, 3),
        (Policy(name="a", partition=Partition(sink=3, recent=4, limit=12)), 12, 5),
        (Policy(name="a", partition=Partition(sink=3, recent=None)), 18, 3),
        (Policy(name="a", partition=Partition(sink=0, recent=4), state=2), 11, 3),
        (Policy(name="a", partition=Partition(sink=0, recent=4), lookahead=5), 12, 3),
    ],
)
def test_slots_and_the_most_that_leaves(policy: Policy, slots: int, most: int) -> None:
    assert policy.slots(3) == slots
    assert policy.bounds(3) == Bounds(most, policy.partition.sink)


def test_frames_opened_at_once() -> None:
    assert Policy(name="a", partition=PLAIN).most_written(3) == 3
    rebuilt = Rebuild(first=1, last=5, at_once=True)
    assert Policy(name="a", partition=PLAIN, rebuild=rebuilt).most_written(3) == 6


@pytest.mark.parametrize(
    "switches, modes",
    [
        (Switches(), "keep"),
        (Switches(recache=12), "keep, recache"),
        (Switches(flush=0), "keep, flush"),
        (Switches(flush=2, cut=True, recall=True), "keep, flush, cut, recall"),
    ],
)
def test_a_switch_that_a_policy_does_not_know(switches: Switches, modes: str) -> None:
    policy = Policy(name="some", partition=PLAIN, positions=Window(), switches=switches)
    known = modes.split(", ")
    for mode in SwitchMode:
        if mode.value in known:
            policy.check_switch(mode)
        else:
            with pytest.raises(ConfigError) as caught:
                policy.check_switch(mode)
            assert str(caught.value) == (
                f"Policy 'some' has no switch mode {mode.value!r}; it knows {modes}."
            )


@pytest.mark.parametrize("part", ["sink", "recent", "limit"])
def test_frames_are_counted_from_nothing_up(part: str) -> None:
    with pytest.raises(ConfigError, match=f"Policy 'some' counts frames from 0 up.*{part} -1"):
        Policy(name="some", partition=Partition(**{"sink": 0, "recent": 0, part: -1}))


@pytest.mark.parametrize(
    "spec, says",
    [
        (
            "tether:diversity=nan",
            "Option 'diversity' of policy 'tether' needs a number, got 'nan'.",
        ),
        ("infinity:cut=inf", "needs a number, got 'inf'."),
        ("camera:weight=nan", "needs a number, got 'nan'."),
        ("window:sink=3,sink=5", "Option 'sink' of policy 'window' was said twice; say it once."),
        ("window:recent=1000000000", "goes up to 1000000, got 1000000000."),
        ("temp:tables=0", "0 to 16 bits in at least 1 table, got 0 and 0 bits in 0."),
        ("temp:prompt_bits=-1", "got -1 and 0 bits in 4."),
        ("temp:self_bits=40", "got 0 and 40 bits in 4."),
    ],
)
def test_options_out_of_any_range(spec: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find(spec, 3)
    assert says in str(caught.value)
