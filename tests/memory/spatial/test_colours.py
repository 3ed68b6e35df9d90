"""Hue, chroma and value: there and back, and against the standard library."""

import colorsys

import numpy as np

from worldrt.memory.spatial.colours import hue_chroma_value, rgb_of


def test_there_and_back() -> None:
    rgb = np.random.default_rng(0).uniform(size=(7, 13, 3)).astype(np.float32)
    np.testing.assert_allclose(rgb_of(hue_chroma_value(rgb)), rgb, atol=1e-6)


def test_as_the_standard_library_has_it() -> None:
    for rgb in np.random.default_rng(1).uniform(size=(111, 3)):
        hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
        found = hue_chroma_value(rgb)
        np.testing.assert_allclose(found, [hue, saturation * value, value], atol=1e-5)


def test_grey_has_no_chroma_and_a_turn_of_hue_changes_nothing() -> None:
    grey = np.full((5, 3), 0.3, np.float32)
    assert np.all(hue_chroma_value(grey)[:, 1] == 0)
    colours = np.random.default_rng(2).uniform(size=(9, 3)) * [1, 0.4, 1] + [0, 0, 0.4]
    np.testing.assert_allclose(rgb_of(colours), rgb_of(colours - [3, 0, 0]), atol=1e-6)
