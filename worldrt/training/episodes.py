"""Recorded walks through mazes on disk: frames, exact depth and poses, in shards.

A recording is a folder with `manifest.json` and `shard-00000.safetensors` onwards. A shard holds up
to 16 episodes: `rgb` uint8 [E, F, Y, X, 3], `depth` float16 [E, F, Y, X] metres along z, `poses`
float64 [E, F, 4, 4] world_from_camera, `seeds` int64 [E]. Every episode walks a maze of its own.
"""

import hashlib
import json
import logging
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from worldrt.checkpoints.files import write_bytes
from worldrt.config import CameraConfig, Config, check
from worldrt.errors import ConfigError, CorruptFile, InputError, OutputError, SimulatorError
from worldrt.geometry.camera import Camera
from worldrt.simulators import walks
from worldrt.simulators.doom.engine import Doom, supersampling

log = logging.getLogger(__name__)

TRAINING_SEEDS = 1_000_000
"""First seed of mazes to train on; those below are for users and benchmarks."""
SHARD_EPISODES = 16
MANIFEST = "manifest.json"


class Shard(Config, frozen=True, kw_only=True):
    """One finished file of a recording."""

    name: str
    bytes: int
    sha256: str


class Manifest(Config, frozen=True, kw_only=True):
    """What a recording holds."""

    schema: int = 1
    camera: CameraConfig
    frames: int
    """Frames an episode."""
    seeds: tuple[int, ...]
    """The maze, and the walk in it, of each episode."""
    shards: dict[int, Shard]
    """Finished shards by number."""

    def __post_init__(self) -> None:
        check(self.schema == 1, f"A recording of schema {self.schema} is not one of schema 1.")
        check(
            self.frames > 0 and len(self.seeds) > 0 and self.shards.keys() <= set(self.numbers),
            f"A recording of {len(self.seeds)} episodes of {self.frames} frames can't have the "
            f"shards {sorted(self.shards)}.",
        )

    @property
    def numbers(self) -> range:
        """The numbers of all shards, finished or not."""
        return range(-(-len(self.seeds) // SHARD_EPISODES))

    def shard_seeds(self, shard: int) -> tuple[int, ...]:
        """The seeds of the episodes in shard number `shard`."""
        return self.seeds[shard * SHARD_EPISODES : (shard + 1) * SHARD_EPISODES]


class Episodes:
    """A finished recording, read lazily; holds no open files."""

    def __init__(self, path: Path) -> None:
        """Open a recording.

        Args:
            path: the folder that `record` wrote.

        Raises:
            InputError: there is no recording, or it is unfinished.
            CorruptFile: the manifest or a shard's size is wrong.
        """
        manifest = read_manifest(path)
        if len(manifest.shards) < len(manifest.numbers):
            raise InputError(
                f"{path} holds {len(manifest.shards)} of {len(manifest.numbers)} shards; "
                "record it again with the same options to finish it."
            )
        for shard in manifest.shards.values():
            _check_size(path / shard.name, shard)
        self._path, self._manifest = path, manifest
        self.camera = Camera.centred(manifest.camera)
        self.frames = manifest.frames
        self.seeds = manifest.seeds

    def __len__(self) -> int:
        return len(self.seeds)

    def read(
        self, episode: int, start: int, stop: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.float16], NDArray[np.float64]]:
        """Frames `start` to `stop` (not included) of an episode.

        Returns:
            rgb: [F, Y, X, 3].
            depth: [F, Y, X] metres along z.
            poses: [F, 4, 4] world_from_camera.

        Raises:
            InputError: there is no such episode or frame.
            CorruptFile: the shard is damaged.
        """
        if not (0 <= episode < len(self) and 0 <= start < stop <= self.frames):
            raise InputError(
                f"Frames {start} to {stop} of episode {episode} do not exist; there are "
                f"{len(self)} episodes of {self.frames} frames."
            )
        number, row = divmod(episode, SHARD_EPISODES)
        path = self._path / self._manifest.shards[number].name
        try:
            with safe_open(path, "numpy") as shard:
                rgb, depth, poses = (
                    shard.get_slice(name)[row, start:stop] for name in ("rgb", "depth", "poses")
                )
        except (SafetensorError, OSError) as error:
            raise CorruptFile(path, str(error)) from error
        return rgb, depth, poses

    def verify(self) -> None:
        """Read all shards and compare their checksums.

        Raises:
            CorruptFile: a shard is damaged.
        """
        for shard in self._manifest.shards.values():
            _check_content(self._path / shard.name, shard)


def read_manifest(path: Path) -> Manifest:
    """The manifest of the recording in folder `path`.

    Raises:
        InputError: there is none.
        CorruptFile: it can't be parsed.
    """
    file = path / MANIFEST
    try:
        return msgspec.json.decode(file.read_bytes(), type=Manifest)
    except OSError as error:
        raise InputError(f"{path} is no recording: {file} {error.strerror}.") from error
    except (msgspec.DecodeError, ConfigError) as error:
        raise CorruptFile(file, str(error)) from error


def record(
    out: Path, *, episodes: int, frames: int, camera: CameraConfig, seed: int, workers: int
) -> None:
    """Walk `episodes` mazes and write what the camera sees; a broken-off recording goes on.

    Args:
        out: folder to write; shards that are there and whole are kept.
        episodes: mazes, at least 1.
        frames: of each walk, at least 1.
        camera: one that Doom can draw.
        seed: of the first maze; the others follow. Training starts at TRAINING_SEEDS.
        workers: processes, each with an engine; 1 records in this one.

    Raises:
        ConfigError: a number is out of range, or `out` holds another recording.
        BackendUnavailable: ViZDoom is not installed.
        OutputError: `out` can't be written.
    """
    check(
        min(episodes, frames, workers) > 0 and seed >= 0,
        f"A recording needs at least 1 episode, frame and worker and a seed from 0, "
        f"got {episodes}, {frames}, {workers} and {seed}.",
    )
    supersampling(Camera.centred(camera))
    wanted = Manifest(
        camera=camera, frames=frames, seeds=tuple(range(seed, seed + episodes)), shards={}
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} can't be made ({error.strerror}).") from error
    shards = _whole_shards(out, wanted)
    missing = [number for number in wanted.numbers if number not in shards]
    log.info("recording %d of %d shards into %s", len(missing), len(wanted.numbers), out)
    bar = Progress(
        TextColumn("recording shards"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task("", total=len(wanted.numbers), completed=len(shards))
        for number, shard in _record_shards(out, wanted, missing, workers):
            shards[number] = shard
            _write_manifest(out, wanted, shards)
            bar.advance(task)


def _record_shards(
    out: Path, manifest: Manifest, missing: Sequence[int], workers: int
) -> Iterator[tuple[int, Shard]]:
    """Record shards, in this process if there is one worker, and yield each when it is written."""
    if workers == 1:
        for number in missing:
            yield number, _record_shard(out, manifest, number)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        jobs = {pool.submit(_record_shard, out, manifest, number): number for number in missing}
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _record_shard(out: Path, manifest: Manifest, number: int) -> Shard:
    """Walk the mazes of one shard and write it."""
    camera, seeds = Camera.centred(manifest.camera), manifest.shard_seeds(number)
    shape = (len(seeds), manifest.frames, camera.height, camera.width)
    rgb = np.empty((*shape, 3), dtype=np.uint8)
    depth = np.empty(shape, dtype=np.float16)
    poses = np.empty((*shape[:2], 4, 4), dtype=np.float64)
    with Doom(camera, seeds) as doom:
        for episode, seed in enumerate(seeds):
            doom.load(seed)
            path = walks.wander(doom.maze, manifest.frames, walks.BRISK, seed)
            for frame, wanted in enumerate(path):
                seen = doom.observe(wanted)
                if seen.collided:
                    raise SimulatorError(
                        f"Maze {seed} refused frame {frame} of {manifest.frames} of its own walk; "
                        "leave out this seed."
                    )
                rgb[episode, frame] = seen.rgb
                depth[episode, frame] = seen.depth
                poses[episode, frame] = seen.world_from_camera
    tensors = {"rgb": rgb, "depth": depth, "poses": poses, "seeds": np.array(seeds, np.int64)}
    content = save(tensors)
    shard = Shard(
        name=f"shard-{number:05d}.safetensors",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    write_bytes(out / shard.name, content)
    return shard


def _whole_shards(out: Path, wanted: Manifest) -> dict[int, Shard]:
    """The finished, undamaged shards of the same recording that `out` already holds."""
    if not (out / MANIFEST).exists():
        _write_manifest(out, wanted, {})
        return {}
    found = read_manifest(out)
    if (found.camera, found.frames, found.seeds) != (wanted.camera, wanted.frames, wanted.seeds):
        raise ConfigError(
            f"{out} holds another recording ({len(found.seeds)} episodes of {found.frames} frames "
            f"from seed {found.seeds[0]}, not {len(wanted.seeds)} of {wanted.frames} from "
            f"{wanted.seeds[0]}, or another camera); name another folder."
        )
    whole = {}
    for number, shard in found.shards.items():
        try:
            _check_content(out / shard.name, shard)
        except CorruptFile as error:
            log.warning("%s Recording it again.", error)
        else:
            whole[number] = shard
    return whole


def _write_manifest(out: Path, wanted: Manifest, shards: dict[int, Shard]) -> None:
    manifest = msgspec.structs.replace(wanted, shards=dict(sorted(shards.items())))
    text = json.dumps(json.loads(msgspec.json.encode(manifest)), indent=1)
    write_bytes(out / MANIFEST, text.encode())


def _check_size(path: Path, shard: Shard) -> None:
    size = path.stat().st_size if path.is_file() else 0
    if size != shard.bytes:
        raise CorruptFile(path, f"{size} bytes instead of {shard.bytes}")


def _check_content(path: Path, shard: Shard) -> None:
    _check_size(path, shard)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != shard.sha256:
        raise CorruptFile(path, f"sha256 {digest[:12]} instead of {shard.sha256[:12]}")
