"""Colours by hue, chroma and value, so that a change of hue is one addition."""

import numpy as np
from numpy.typing import NDArray


def hue_chroma_value(rgb: NDArray[np.floating]) -> NDArray[np.float32]:
    """[..., 3] hue (turns), chroma and value of colours [..., 3], all 0 to 1.

    Source: Smith, Color gamut transform pairs, SIGGRAPH 1978 (its hexcone, with chroma in place of
    saturation).
    """
    rgb = rgb.astype(np.float32, copy=False)
    red, green, blue = np.moveaxis(rgb, -1, 0)
    value = rgb.max(axis=-1)
    chroma = value - rgb.min(axis=-1)
    safe = np.maximum(chroma, np.float32(1e-6))
    hue = np.where(
        value == red,
        (green - blue) / safe,
        np.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    return np.stack([hue / 6 % 1, chroma, value], axis=-1).astype(np.float32)


def rgb_of(colours: NDArray[np.floating]) -> NDArray[np.float32]:
    """RGB [..., 3], 0 to 1, of hue (turns), chroma and value [..., 3]; undoes the other way."""
    hue, chroma, value = np.moveaxis(colours, -1, 0)
    place = (hue[..., None] * 6 + np.array([5, 3, 1])) % 6
    ramp = np.clip(np.minimum(place, 4 - place), 0, 1)
    return (value[..., None] - chroma[..., None] * ramp).astype(np.float32)
