"""Footage: frames in a row are as many single frames, each with its own part of everything."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldrt.memory.spatial.memory import Footage


def footage(count: int, first: int, latents: bool, moving: bool) -> Footage:
    random = np.random.default_rng(count)
    return Footage(
        rgb=random.integers(0, 256, (count, 5, 7, 3), np.uint8),
        depth=random.random((count, 5, 7), np.float32),
        poses=random.random((count, 4, 4)),
        first=first,
        latents=random.random((count, 2, 1, 3), np.float32) if latents else None,
        moving=random.random((count, 5, 7)) < 0.5 if moving else None,
    )


@given(
    count=st.integers(0, 5),
    first=st.integers(0, 10**6),
    latents=st.booleans(),
    moving=st.booleans(),
    generated=st.booleans(),
)
def test_each_frame_has_its_own_part(
    count: int, first: int, latents: bool, moving: bool, generated: bool
) -> None:
    told = footage(count, first, latents, moving)
    known = np.random.default_rng(9).random((count, 5, 7), np.float32) if generated else None
    found = list(told.frames(known))
    assert [frame.index for frame in found] == list(range(first, first + count))
    for row, frame in enumerate(found):
        assert frame.real is not generated
        for part, whole in (
            (frame.rgb, told.rgb),
            (frame.depth, told.depth),
            (frame.pose, told.poses),
            (frame.latent, told.latents),
            (frame.moving, told.moving),
            (frame.known, known),
        ):
            assert (part is None) == (whole is None)
            if part is not None and whole is not None:
                np.testing.assert_array_equal(part, whole[row])


@pytest.mark.parametrize("name", ["rgb", "depth", "poses"])
def test_a_frame_without_its_part_is_a_mistake(name: str) -> None:
    told = footage(3, 0, False, False)
    short = told._replace(**{name: getattr(told, name)[:2]})
    with pytest.raises(ValueError, match="zip"):
        list(short.frames())
