"""The loops under `Points`: a voxel hash, a hash of blocks, and pages of slots.

Both hashes are open addressing with linear probing; an entry that goes is filled from those behind
it, so a table never wears out. A page belongs to one block; the pages of a block are chained. Where
a point goes depends on the living points alone (the lowest page of its block with room, else the
lowest free page; in it behind the last point, else the lowest hole), never on the order in which
others died, so a map that is rebuilt from its points goes on as the one it was saved from.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

PAGE = 64
"""Point slots of a page."""
BASE = -6
"""Binary logarithm of the edge of a voxel of level 0, in metres: 1/64 m."""
LOWEST, HIGHEST = -6, 25
"""Levels that there are: edges of 1/4096 m to 524 km."""
SIDE = 7
"""Binary logarithm of the voxels along a block's edge."""
REACH = 2**18
"""Blocks in each direction from the origin that there are: 8 km at the finest level."""
NONE = 65535
"""A source that is none."""
GROUP = 64
"""Pages whose free ones are counted together."""

_FULL = 2**64 - 1
_AXIS = 2**19 - 1


class Store(NamedTuple):
    """The arrays of a map of S slots in G pages, as the loops take them."""

    position: NDArray[np.float32]
    colour: NDArray[np.uint8]
    source_depth: NDArray[np.float32]
    written: NDArray[np.int32]
    weight: NDArray[np.uint8]
    sources: NDArray[np.uint16]
    facing: NDArray[np.int8]
    page_block: NDArray[np.int32]
    page_low: NDArray[np.float32]
    page_high: NDArray[np.float32]
    page_count: NDArray[np.int32]
    page_seen: NDArray[np.int32]
    page_visits: NDArray[np.int32]
    page_used: NDArray[np.uint64]
    """[G] one bit a slot that holds a point."""
    page_next: NDArray[np.int32]
    """[G] another page of the same block; -1: the last."""
    group_free: NDArray[np.int32]
    """[G / GROUP] free pages."""
    keys: NDArray[np.int64]
    """[H] voxels."""
    ids: NDArray[np.int32]
    """[H] point in each; -1: no entry."""
    blocks: NDArray[np.int64]
    """[2 G] blocks."""
    heads: NDArray[np.int32]
    """[2 G] a page of each; -1: no entry."""
    totals: NDArray[np.int64]
    """[2] living points, free pages."""


@njit(cache=True, nogil=True, inline="always")
def _name(layer, level, x, y, z):  # pragma: no cover
    """A voxel or block as a number; far from the origin names repeat, every 2^19 in each axis."""
    name = (np.int64(layer) << 62) | (np.int64(level - LOWEST) << 57)
    return name | ((x & _AXIS) << 38) | ((y & _AXIS) << 19) | (z & _AXIS)


@njit(cache=True, nogil=True, inline="always")
def _home(key, size):  # pragma: no cover
    """Where an entry would best lie. Source: Steele et al., Fast splittable PRNGs, 2014 (mixing);
    Lemire, Fast random integer generation in an interval, 2019 (without division)."""
    mixed = np.uint64(key)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed = mixed ^ (mixed >> np.uint64(31))
    return np.int64(((mixed >> np.uint64(32)) * np.uint64(size)) >> np.uint64(32))


@njit(cache=True, nogil=True)
def _find(keys, values, key):  # pragma: no cover
    """The entry of `key`, or the free one where it belongs."""
    at = _home(key, len(keys))
    while values[at] >= 0 and keys[at] != key:
        at += 1
        if at == len(keys):
            at = 0
    return at


@njit(cache=True, nogil=True)
def _erase(keys, values, hole):  # pragma: no cover
    """Free an entry; those behind it that it kept from their home move up."""
    size = len(keys)
    at = hole
    while True:
        at += 1
        if at == size:
            at = 0
        if values[at] < 0:
            break
        from_home = at - _home(keys[at], size)
        from_hole = at - hole
        if from_home < 0:
            from_home += size
        if from_hole < 0:
            from_hole += size
        if from_home >= from_hole:
            keys[hole], values[hole] = keys[at], values[at]
            hole = at
    values[hole] = -1


@njit(cache=True, nogil=True)
def _voxel(position, level):  # pragma: no cover
    """The voxel of a place; exact, for an edge is a power of two."""
    scale = math.ldexp(1.0, -level - BASE)
    x = np.int64(np.floor(np.float64(position[0]) * scale))
    y = np.int64(np.floor(np.float64(position[1]) * scale))
    z = np.int64(np.floor(np.float64(position[2]) * scale))
    return x, y, z


@njit(cache=True, nogil=True)
def _level(footprint):  # pragma: no cover
    """The level whose edge lies in (footprint / 4, footprint / 2]."""
    _, exponent = math.frexp(footprint)  # footprint is in [2^(exponent - 1), 2^exponent)
    return min(max(exponent - 2 - BASE, LOWEST), HIGHEST)


@njit(cache=True, nogil=True)
def _first_free(store):  # pragma: no cover
    """The lowest free page; -1: none."""
    for group in range(len(store.group_free)):
        if store.group_free[group] > 0:
            page = group * GROUP
            while store.page_count[page] > 0:
                page += 1
            return page
    return -1


@njit(cache=True, nogil=True)
def _link(store, page, layer, level, x, y, z):  # pragma: no cover
    """A free page becomes one of a block's."""
    at = _find(store.blocks, store.heads, _name(layer, level, x, y, z))
    store.page_next[page] = store.heads[at]
    store.blocks[at] = _name(layer, level, x, y, z)
    store.heads[at] = page
    block = store.page_block[page]
    block[0], block[1], block[2], block[3], block[4] = layer, level, x, y, z
    store.group_free[page // GROUP] -= 1
    store.totals[1] -= 1


@njit(cache=True, nogil=True)
def _unlink(store, page):  # pragma: no cover
    """An empty page becomes free."""
    block = store.page_block[page]
    name = _name(block[0], block[1], np.int64(block[2]), np.int64(block[3]), np.int64(block[4]))
    at = _find(store.blocks, store.heads, name)
    if store.heads[at] == page:
        if store.page_next[page] < 0:
            _erase(store.blocks, store.heads, at)
        else:
            store.heads[at] = store.page_next[page]
    else:
        before = store.heads[at]
        while store.page_next[before] != page:
            before = store.page_next[before]
        store.page_next[before] = store.page_next[page]
    store.page_count[page] = store.page_seen[page] = store.page_visits[page] = 0
    store.page_block[page] = 0
    store.group_free[page // GROUP] += 1
    store.totals[1] += 1


@njit(cache=True, nogil=True)
def _with_room(store, layer, level, x, y, z):  # pragma: no cover
    """The lowest page of a block that has room; -1: none has."""
    at = _find(store.blocks, store.heads, _name(layer, level, x, y, z))
    page, best = store.heads[at], -1
    while page >= 0:
        if store.page_used[page] != np.uint64(_FULL) and (best < 0 or page < best):
            best = page
        page = store.page_next[page]
    return best


@njit(cache=True, nogil=True)
def add(
    store, positions, colours, depths, facings, layer, focal, frame, first, ids
):  # pragma: no cover
    """Points from number `first` on, each of weight 0 until it is published; see `Points.add`.

    Returns how many are done: all, or those before the first for which there is no page.
    """
    one = np.uint64(1)
    last_page, last_name = -1, np.int64(-1)
    for n in range(first, len(positions)):
        ids[n] = -1
        level = _level(np.float64(depths[n]) / focal)
        limit = math.ldexp(REACH - 1.0, level + BASE + SIDE)
        position = positions[n]
        if not (abs(position[0]) < limit and abs(position[1]) < limit and abs(position[2]) < limit):
            continue
        x, y, z = _voxel(position, level)
        key = _name(layer, level, x, y, z)
        entry = _find(store.keys, store.ids, key)
        if store.ids[entry] >= 0:
            continue
        x, y, z = x >> SIDE, y >> SIDE, z >> SIDE
        name = _name(layer, level, x, y, z)
        page = last_page
        if name != last_name or store.page_used[page] == np.uint64(_FULL):
            page = _with_room(store, layer, level, x, y, z)
            if page < 0:
                page = _first_free(store)
                if page < 0:
                    return n
                _link(store, page, layer, level, x, y, z)
                store.page_low[page] = np.inf
                store.page_high[page] = -np.inf
                store.page_visits[page] = 1
            last_page, last_name = page, name
        offset = store.page_count[page]
        if offset == PAGE:
            offset = 0
            while store.page_used[page] & (one << np.uint64(offset)):
                offset += 1
        p = page * PAGE + offset
        for axis in range(3):
            value = position[axis]
            store.position[p, axis] = value
            store.colour[p, axis] = colours[n, axis]
            store.facing[p, axis] = facings[n, axis]
            store.page_low[page, axis] = min(store.page_low[page, axis], value)
            store.page_high[page, axis] = max(store.page_high[page, axis], value)
        store.source_depth[p] = depths[n]
        store.written[p] = frame
        store.sources[p] = NONE
        store.page_used[page] |= one << np.uint64(offset)
        store.page_count[page] = max(store.page_count[page], offset + 1)
        store.page_seen[page] = max(store.page_seen[page], frame)
        store.keys[entry], store.ids[entry] = key, p
        store.totals[0] += 1
        ids[n] = p
    return len(positions)


@njit(cache=True, nogil=True)
def _tighten(store, page):  # pragma: no cover
    """A page's box and count from its points; it is free when it has none."""
    one = np.uint64(1)
    low, high = store.page_low[page], store.page_high[page]
    low[:] = np.inf
    high[:] = -np.inf
    count = 0
    for offset in range(PAGE):
        if store.page_used[page] & (one << np.uint64(offset)):
            count = offset + 1
            for axis in range(3):
                value = store.position[page * PAGE + offset, axis]
                low[axis], high[axis] = min(low[axis], value), max(high[axis], value)
    store.page_count[page] = count


@njit(cache=True, nogil=True)
def remove(store, ids):  # pragma: no cover
    """Points whose ids rise; see `Points.remove`."""
    one = np.uint64(1)
    for n in range(len(ids)):
        p = ids[n]
        page = p // PAGE
        block = store.page_block[page]
        x, y, z = _voxel(store.position[p], block[1])
        entry = _find(store.keys, store.ids, _name(block[0], block[1], x, y, z))
        _erase(store.keys, store.ids, entry)
        store.weight[p] = 0
        store.page_used[page] &= ~(one << np.uint64(p % PAGE))
        if n + 1 == len(ids) or ids[n + 1] // PAGE != page:
            _tighten(store, page)
            if store.page_count[page] == 0:
                _unlink(store, page)
    store.totals[0] -= len(ids)


@njit(cache=True, nogil=True)
def rebuild(store):  # pragma: no cover
    """All that follows from the points and the pages' blocks; see `Points.rebuild`."""
    one = np.uint64(1)
    store.ids[:] = -1
    store.heads[:] = -1
    store.group_free[:] = 0
    store.totals[:] = 0
    pages = len(store.page_count)
    for page in range(pages):
        store.group_free[page // GROUP] += 1
    store.totals[1] = pages
    for page in range(pages):
        store.page_used[page] = 0
        for offset in range(PAGE):
            if store.weight[page * PAGE + offset] > 0:
                store.page_used[page] |= one << np.uint64(offset)
        _tighten(store, page)
        block = store.page_block[page]
        if store.page_count[page] == 0:
            block[:] = 0
            store.page_seen[page] = store.page_visits[page] = 0
            continue
        layer, level = block[0], block[1]
        bx, by, bz = np.int64(block[2]), np.int64(block[3]), np.int64(block[4])
        _link(store, page, layer, level, bx, by, bz)
        for offset in range(PAGE):
            p = page * PAGE + offset
            if store.weight[p] > 0:
                x, y, z = _voxel(store.position[p], level)
                key = _name(layer, level, x, y, z)
                entry = _find(store.keys, store.ids, key)
                store.keys[entry], store.ids[entry] = key, p
                store.totals[0] += 1
