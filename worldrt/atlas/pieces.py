"""Named arrays that have changed since, as the pieces that differ."""

import numpy as np
from numpy.typing import NDArray

PIECE = 4096
"""Bytes that are kept together when one of them has changed."""

Arrays = dict[str, NDArray[np.generic]]


def changes(old: Arrays, new: Arrays) -> Arrays:
    """What makes `new` of `old`.

    Args:
        old, new: contiguous arrays; those whose first axis alone has changed are told in pieces.

    Returns:
        Arrays that are told whole, by their names; of any other array, `name:pieces` [N] i4, the
        indices of its pieces, `name:bytes`, their content, and `name:length`, [1] i8 its new length
        ([0] if it is a number). Nothing of arrays that are the same, or gone.
    """
    found: Arrays = {}
    for name, array in new.items():
        was = old.get(name)
        if was is None or was.dtype != array.dtype or was.shape[1:] != array.shape[1:]:
            found[name] = array
            continue
        before, after = _bytes(was), _bytes(array)
        whole = min(len(before), len(after)) // PIECE * PIECE
        differ = before[:whole].view(np.uint64) != after[:whole].view(np.uint64)
        pieces = np.flatnonzero(differ.reshape(-1, PIECE // 8).any(axis=1))
        content = [after[:whole].reshape(-1, PIECE)[pieces].reshape(-1)]
        if not np.array_equal(before[whole:], after[whole:]):
            rest = np.arange(whole // PIECE, -(-len(after) // PIECE))
            pieces, content = np.append(pieces, rest), [*content, after[whole:]]
        if len(pieces) or was.shape != array.shape:
            found[f"{name}:pieces"] = pieces.astype(np.int32)
            found[f"{name}:bytes"] = np.concatenate(content)
            found[f"{name}:length"] = np.array(array.shape[:1], np.int64)
    return found


def apply(state: Arrays, changed: Arrays) -> None:
    """Make what was old new.

    Args:
        state: the old arrays; becomes the new ones.
        changed: from `changes`.

    Raises:
        KeyError, ValueError: they don't belong together.
    """
    for name, array in changed.items():
        base, _, kind = name.partition(":")
        if kind == "":
            state[name] = array
        elif kind == "pieces":
            was, length = state[base], changed[f"{base}:length"].tolist()
            state[base] = np.empty((*length, *was.shape[len(length) :]), was.dtype)
            target, source = _bytes(state[base]), changed[f"{base}:bytes"]
            kept = min(target.nbytes, was.nbytes)
            target[:kept] = _bytes(was)[:kept]
            for order, piece in enumerate(array.tolist()):
                into = target[piece * PIECE : (piece + 1) * PIECE]
                into[:] = source[order * PIECE : order * PIECE + len(into)]


def _bytes(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    return array.reshape(-1).view(np.uint8)
