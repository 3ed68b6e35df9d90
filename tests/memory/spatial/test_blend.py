"""One splat before another."""

import numpy as np
import pytest

from worldrt.kernels.splat import Drawn
from worldrt.memory.spatial.blend import FULL_WEIGHT, layered, masked
from worldrt.memory.spatial.frame import Splat


def flat(grey: float, depth: float, mask: float, written: float = 0.0) -> Splat:
    """A view of 5 x 7 that is the same everywhere."""
    images = np.empty((4, 1, 5, 7), np.float32)
    images[:] = np.array([grey, depth, mask, written]).reshape(4, 1, 1, 1)
    return Splat(np.repeat(images[0, ..., None], 3, axis=-1), *images[1:])


NOTHING = flat(0, 0, 0)


def test_the_mask_is_full_where_points_lie_a_pixel_apart() -> None:
    image = np.full((1, 5, 7), 2, np.float32)
    for weight, mask in ((0, 0), (FULL_WEIGHT / 4, 0.25), (FULL_WEIGHT, 1), (3, 1)):
        seen = Drawn(np.zeros((1, 5, 7, 3), np.float32), image, image * 0 + weight, image, image)
        assert (masked(seen).mask == mask).all()


def test_the_first_hides_the_second_where_it_is_whole() -> None:
    real = flat(0.3, 4, 1, 7)
    for image, wanted in zip(layered(real, flat(0.9, 1, 1, 9)), real, strict=True):
        np.testing.assert_allclose(image, wanted, rtol=1e-6)


@pytest.mark.parametrize("first", [True, False])
def test_nothing_adds_nothing(first: bool) -> None:
    one = flat(0.3, 4, 0.4, 7)
    both = layered(NOTHING, one) if first else layered(one, NOTHING)
    for image, wanted in zip(both, one, strict=True):
        np.testing.assert_allclose(image, wanted, rtol=1e-6)
    assert not any(image.any() for image in layered(NOTHING, NOTHING))


def test_in_between_they_mix_by_their_masks_and_depths_by_their_inverses() -> None:
    both = layered(flat(0.2, 2, 0.5, 10), flat(0.8, 4, 1, 20))
    np.testing.assert_allclose(both.mask, 1)
    np.testing.assert_allclose(both.rgb, 0.5, rtol=1e-6)
    np.testing.assert_allclose(both.depth, 1 / (0.5 / 2 + 0.5 / 4), rtol=1e-6)
    np.testing.assert_allclose(both.written, 15, rtol=1e-6)


def test_what_hardly_shows_is_as_far_as_it_is() -> None:
    """A mask of next to nothing divides by next to nothing, and is no infinite depth."""
    for mask in (1e-9, 1e-20, 1e-38):
        both = layered(flat(0.2, 2, mask, 10), NOTHING)
        for image, wanted in zip(both, flat(0.2, 2, mask, 10), strict=True):
            np.testing.assert_allclose(image, wanted, rtol=1e-6)
