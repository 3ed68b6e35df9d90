"""The policy of scenes."""

import pytest

from worldrt.memory.policies.echo import build
from worldrt.memory.policy import Partition, Switches, SwitchMode
from worldrt.memory.positions import Window
from worldrt.memory.scene import Scenes


def test_published_numbers() -> None:
    policy = build(block_frames=3)
    assert policy.partition == Partition(sink=0, recent=3)
    assert policy.positions == Window(cut=45.0)
    assert policy.mid == Scenes(sink=12, chosen=3, calibration=21, kept=2, uses=8, scenes=8)
    assert policy.switches == Switches(flush=2, cut=True, recall=True, clears=True)
    modes = [SwitchMode.KEEP, SwitchMode.FLUSH, SwitchMode.CUT, SwitchMode.RECALL]
    assert policy.switches.modes == modes


@pytest.mark.parametrize("frames, kept", [(1, 1), (2, 1), (4, 3), (5, 4), (8, 7)])
def test_defaults_are_whole_blocks(frames: int, kept: int) -> None:
    policy = build(block_frames=frames)
    assert policy.partition == Partition(sink=0, recent=frames)
    assert policy.mid == Scenes(
        sink=4 * frames, chosen=frames, calibration=7 * frames, kept=kept, uses=8, scenes=8
    )
    assert policy.switches.flush == kept


def test_options() -> None:
    policy = build(block_frames=3, sink=6, chosen=2, recent=4, kept=0, uses=3, scenes=64, cut=9.0)
    assert policy.partition == Partition(sink=0, recent=4)
    assert policy.positions == Window(cut=9.0)
    assert policy.mid == Scenes(sink=6, chosen=2, calibration=15, kept=0, uses=3, scenes=64)
