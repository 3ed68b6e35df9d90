"""Cost over the length of the history (S8), and what a map of a million points costs.

What it must cost: a frame of Doom is 1 ms, its insertion 2 to 6 ms a map; 4,000 frames and one map
are half a minute, 64,000 and three maps a quarter of an hour. A method that looks at all frames
needs 0.1 to 1 ms for each thousand, Monte-Carlo sampling a thousand times as much. A million points
are some 160 frames of the town, each a tenth of a second to draw: twenty seconds.

Times are of the clock, on whatever else the machine does. Nothing in them is compiled: the first
question of each kind is asked twice, and the first insertions are not counted. Memory that is
touched for the first time is in them, as it is in a session: pages of the map while it grows, and
of the one that is loaded. Saving includes that the disk has it.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldrt.atlas.store import load, save
from worldrt.bench.drift import capped_psnr
from worldrt.bench.memory.frame_memory import Quarters
from worldrt.bench.memory.map_memory import OURS, MapMemory
from worldrt.bench.memory.report import Million, ScaleRow, Times
from worldrt.bench.memory.scores import exponent
from worldrt.bench.memory.setting import RECALLED, Setting
from worldrt.bench.memory.stream import Sight
from worldrt.bench.memory.town import Town
from worldrt.bench.soak import peak_mb
from worldrt.geometry.camera import Camera
from worldrt.memory.retrieval.find import find
from worldrt.memory.retrieval.query import Candidates, Method, Query
from worldrt.memory.spatial.frame import Frame
from worldrt.memory.spatial.keyframes import Keyframes
from worldrt.memory.spatial.map import KEYFRAMES, SpatialMap
from worldrt.memory.spatial.memory import Footage
from worldrt.memory.spatial.surface import filled

INSERTS = 500
"""Latest insertions that a row's times are of."""
PLACES = 40
"""Past poses that are asked for in each row, drawn evenly over the history."""
PATIENCE = 3.0
"""Seconds after which a slow method is asked no more, three questions at least."""
MEGABYTE = 1_000_000
PIXEL_BYTES = 7
"""RGB and depth, of what keeps all frames."""
POINT_BYTES = 63
"""Of the map of a million points, which is nearly full with them; its keyframes come on top."""


def measure_scale(
    frames: Iterable[Sight],
    camera: Camera,
    marks: Sequence[int],
    budgets: Sequence[int],
    methods: Sequence[str],
    seed: int = 0,
) -> list[ScaleRow]:
    """Insert a walk into maps and ask them, and methods that keep all frames, as it grows.

    Args:
        frames: at least the last of `marks`.
        camera: of the frames.
        marks: numbers of frames after which it is measured, rising.
        budgets: megabytes of the maps.
        methods: that look at all frames, see `worldrt.memory.retrieval.find`.
        seed: of the poses that are asked for.

    Raises:
        ConfigError: a budget is too small, or a method unknown.
    """
    maps = {
        budget: MapMemory(Setting(camera=camera, budget=budget * MEGABYTE)) for budget in budgets
    }
    found = {method: find(method) for method in methods}
    inserts = {budget: deque[float](maxlen=INSERTS) for budget in budgets}
    past, random = Quarters(camera), np.random.default_rng(seed)
    places: list[Sight] = []
    rows = []
    for index, frame in enumerate(frames):
        past.add(frame.depth, frame.pose, index)
        for budget, memory in maps.items():
            began = time.perf_counter()
            memory.remember(Footage(frame.rgb[None], frame.depth[None], frame.pose[None], index))
            inserts[budget].append(_since(began))
        if len(places) < PLACES:
            places.append(frame)
        elif (place := int(random.integers(index + 1))) < PLACES:
            places[place] = frame
        now = index + 1
        if now not in marks:
            continue
        for budget, memory in maps.items():
            asked = partial(memory.chosen, count=RECALLED, now=now)
            rows.append(
                ScaleRow(
                    system="map",
                    budget_mb=budget,
                    frames=now,
                    points=len(memory),
                    bytes=memory.nbytes,
                    peak_mb=peak_mb(),
                    insert_ms=Times.of(inserts[budget]),
                    retrieve_ms=Times.of(_ask(asked, places)),
                    psnr=_quality(memory, places, now),
                )
            )
        pixels = now * camera.width * camera.height
        for method, chooser in found.items():
            asked = partial(_choose, chooser, past.candidates(), now)
            rows.append(
                ScaleRow(
                    system=f"frames:{method}",
                    budget_mb=0,
                    frames=now,
                    points=pixels,
                    bytes=pixels * PIXEL_BYTES + past.nbytes,
                    peak_mb=peak_mb(),
                    insert_ms=None,
                    retrieve_ms=Times.of(_ask(asked, places)),
                    psnr=None,
                )
            )
        if now == marks[-1]:
            break
    return rows


def exponents(rows: Sequence[ScaleRow]) -> dict[str, float]:
    """Slope of log retrieval time over log frames, by system and budget."""
    lines = dict.fromkeys((row.system, row.budget_mb) for row in rows)
    found = {}
    for system, budget in lines:
        mine = [row for row in rows if (row.system, row.budget_mb) == (system, budget)]
        if len(mine) > 1:
            name = f"{system} {budget} MB" if budget else system
            found[name] = exponent(
                np.array([row.frames for row in mine]),
                np.array([row.retrieve_ms.p50 for row in mine]),
            )
    return found


def measure_million(folder: Path, points: int = 1_000_000) -> Million:
    """Walk through a town until the map has so many points, then ask it, save it and load it.

    Insertions are the last ones of new ground and as many of places that were seen before.

    Args:
        folder: where it is saved, emptied by the caller.
        points: wanted.
    """
    town = Town()
    kept = min(KEYFRAMES * Keyframes.bytes_of(town.camera, None), POINT_BYTES * points // 3)
    memory = SpatialMap(town.camera, POINT_BYTES * points + kept)
    inserts, walked = deque[float](maxlen=2 * PLACES), []

    def insert(sight: Sight) -> None:
        frame = Frame(rgb=sight.rgb, depth=sight.depth, pose=sight.pose, index=sight.frame)
        began = time.perf_counter()
        memory.insert(frame)
        inserts.append(_since(began))

    for index, pose in enumerate(town.walk(60 * town.blocks * town.blocks)):
        walked.append(Sight(index, *town.look(pose), pose))
        insert(walked[-1])
        if len(memory) >= points:
            break
    stride = max(1, len(walked) // (4 * PLACES))
    ours, candidates = find(OURS), memory.keyframes.candidates()

    def choose(poses: NDArray[np.float64]) -> list[int]:
        query = Query(poses=poses, count=RECALLED, now=len(walked))
        return ours.choose(query, candidates, memory.points)

    choices = _ask(choose, walked[::stride])
    views = _ask(memory.view, walked[:: 4 * stride])
    for index, place in enumerate(walked[:: -(-len(walked) // PLACES)], len(walked)):
        insert(place._replace(frame=index))
    began = time.perf_counter()
    save(memory, folder)
    saved = time.perf_counter()
    load(folder)
    loaded = time.perf_counter()
    return Million(
        points=len(memory),
        keyframes=int(np.count_nonzero(memory.keyframes.used)),
        bytes_a_point=memory.points.nbytes / len(memory),
        retrieve_ms=Times.of(choices),
        view_ms=Times.of(views),
        insert_ms=Times.of(inserts),
        save_s=saved - began,
        load_s=loaded - saved,
    )


def _ask(choose: Callable[[NDArray[np.float64]], object], places: Sequence[Sight]) -> list[float]:
    """Milliseconds of each answer; the first question, which may compile, is asked twice."""
    choose(places[0].pose[None])
    times, began = [], time.perf_counter()
    for place in places:
        asked = time.perf_counter()
        choose(place.pose[None])
        times.append(_since(asked))
        if len(times) >= 3 and time.perf_counter() - began > PATIENCE:
            break
    return times


def _quality(memory: MapMemory, places: Sequence[Sight], now: int) -> float:
    """Mean dB of filled views at past poses."""
    found = []
    for place in places:
        image = filled(memory.view(place.pose[None], now), 1.0)[0, :3]
        rgb = np.rint((np.moveaxis(image, 0, -1) + 1) * 127.5).clip(0, 255).astype(np.uint8)
        found.append(capped_psnr(rgb, place.rgb))
    return float(np.mean(found))


def _choose(
    method: Method, candidates: Candidates, now: int, poses: NDArray[np.float64]
) -> list[int]:
    return method.choose(Query(poses=poses, count=RECALLED, now=now), candidates, None)


def _since(began: float) -> float:
    """Milliseconds since."""
    return 1e3 * (time.perf_counter() - began)
