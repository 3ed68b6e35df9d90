"""A spatial memory in a folder: saved whole, added to by its changes, loaded back bit for bit.

The folder holds

- `manifest.json`: what it is, and the checksum of every file. It is written last, in one rename;
  until then the folder is what it was before, so a kill leaves the old memory or the new one;
- `state-N.safetensors`: the arrays of the memory, then one file an `append`, with the pieces of
  those arrays that have changed since;
- `points.ply`: the points at the last `save`, for other programs; loading does not read it.

Files of others in the folder are left alone. One process at a time may write to it.
"""

import hashlib
import os
from pathlib import Path

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as decode
from safetensors.numpy import save as encode

from worldrt.atlas.manifest import MANIFEST, File, Manifest, read_file, read_manifest
from worldrt.atlas.pieces import Arrays, apply, changes
from worldrt.atlas.ply import encode as encode_ply
from worldrt.checkpoints.files import write_bytes
from worldrt.errors import ConfigError, CorruptFile, OutputError, ShapeError
from worldrt.geometry.camera import Camera
from worldrt.memory.spatial.entities import Entities
from worldrt.memory.spatial.map import SpatialMap
from worldrt.memory.spatial.voxels import NONE, PAGE

POINTS = "points.ply"
ENTITIES = "entities."
"""Begins the names of the arrays of what moves."""


def save(memory: SpatialMap, folder: Path, entities: Entities | None = None) -> None:
    """Write the whole memory in place of what the folder held of one.

    Args:
        memory: what is saved; nobody inserts meanwhile.
        folder: made if need be, in a folder that exists.
        entities: what moves in it; None: nothing is followed.

    Raises:
        OutputError, CorruptFile, InputError: nothing can be written there, see `check_target`; the
            folder holds what it held before.
    """
    check_target(folder)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} can't be made ({error.strerror}).") from error
    number = _next_number(folder)
    state = _write(folder, f"state-{number}.safetensors", encode(_state(memory, entities)))
    ply = _write(folder, POINTS, encode_ply(_columns(memory)))
    _commit(folder, _manifest(memory, (state,), ply))


def check_target(folder: Path) -> None:
    """Refuse a folder that nothing can be saved to, before there is anything to lose.

    Raises:
        OutputError: it is a file, or lies in no folder.
        CorruptFile, InputError: it holds something else under the manifest's name.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder to save the memory to.")
    if not folder.absolute().parent.is_dir():
        raise OutputError(f"The folder {folder.absolute().parent} does not exist; make it first.")
    if (folder / MANIFEST).exists():
        read_manifest(folder)


def append(memory: SpatialMap, folder: Path, entities: Entities | None = None) -> None:
    """Write what has changed since the folder was last written; the first time, everything.

    When the changes have grown as large as the whole, the whole is saved anew: the folder and the
    time to load it stay within twice those of a `save`.

    Args:
        memory: the one that was saved there, or loaded from there; nobody inserts meanwhile.
        folder: of `save`.
        entities: what moves in it; None: nothing is followed.

    Raises:
        ConfigError: the folder holds a memory of another camera, budget or latent shape.
        OutputError: nothing can be written there; the folder holds what it held before.
        CorruptFile, InputError: what it holds can't be read.
    """
    if not (folder / MANIFEST).exists():
        return save(memory, folder, entities)
    before = read_manifest(folder)
    after = _manifest(memory, before.state, before.ply)
    if before.made_with != after.made_with:
        raise ConfigError(
            f"{folder} holds a memory made with {before.made_with}, this one was made with "
            f"{after.made_with}; save it to another folder."
        )
    old, new = _read_state(folder, before), _state(memory, entities)
    differ = changes(old, new)
    size = sum(each.nbytes for each in differ.values())
    if not differ and old.keys() == new.keys():
        return
    grown = size + sum(file.bytes for file in before.state[1:])
    if old.keys() != new.keys() or grown > before.state[0].bytes:
        return save(memory, folder, entities)
    file = _write(folder, f"state-{_next_number(folder)}.safetensors", encode(differ))
    _commit(folder, _manifest(memory, (*before.state, file), before.ply))


def load(
    folder: Path, camera: Camera | None = None, entities: Entities | None = None
) -> SpatialMap:
    """The memory that was saved in a folder, to go on as if it never had been.

    Args:
        folder: of `save`.
        camera: that it is to be used with; None: whatever it was saved with.
        entities: take over what was saved of things that move, as many as they have room for, and
            stay as they are if nothing was; None: the map alone is wanted.

    Raises:
        InputError: the folder holds no memory, or one of a newer version.
        CorruptFile: a file is missing, damaged or cut short.
        ConfigError: it is of another camera.
    """
    manifest = read_manifest(folder)
    if camera not in (None, manifest.camera):
        raise ConfigError(
            f"{folder} was saved with {manifest.camera}, this world has {camera}; load it in the "
            "world that it was saved from."
        )
    state = _read_state(folder, manifest)
    memory = SpatialMap(manifest.camera, manifest.budget_bytes, manifest.latent_shape)
    try:
        memory.restore(state)
        things = {k.removeprefix(ENTITIES): v for k, v in state.items() if k.startswith(ENTITIES)}
        if entities is not None and things:
            entities.restore(things)
    except (ShapeError, KeyError, ValueError) as error:
        raise CorruptFile(folder / manifest.state[0].name, str(error)) from error
    return memory


def _state(memory: SpatialMap, entities: Entities | None) -> Arrays:
    things = {} if entities is None else entities.state()
    return memory.state() | {f"{ENTITIES}{name}": array for name, array in things.items()}


def _read_state(folder: Path, manifest: Manifest) -> Arrays:
    state: Arrays = {}
    for file in manifest.state:
        content = read_file(folder, file)
        try:
            apply(state, decode(content))
        except (SafetensorError, KeyError, ValueError, IndexError) as error:
            raise CorruptFile(folder / file.name, str(error)) from error
    return state


# The folder.


def _next_number(folder: Path) -> int:
    """Of the next file of arrays; one that a kill left behind is written over."""
    if not (folder / MANIFEST).exists():
        return 1
    last = read_manifest(folder).state[-1].name
    return int(last.removeprefix("state-").removesuffix(".safetensors")) + 1


def _write(folder: Path, name: str, content: bytes) -> File:
    write_bytes(folder / name, content)
    return File(name, len(content), hashlib.sha256(content).hexdigest())


def _manifest(memory: SpatialMap, state: tuple[File, ...], ply: File) -> Manifest:
    return Manifest(
        camera=memory.camera,
        budget_bytes=memory.budget_bytes,
        latent_shape=memory.latent_shape,
        points=len(memory),
        keyframes=len(memory.keyframes),
        state=state,
        ply=ply,
    )


def _commit(folder: Path, manifest: Manifest) -> None:
    """Make what has been written the memory of the folder, and delete what was before."""
    _sync(folder)
    text = msgspec.json.encode(manifest.sealed())
    write_bytes(folder / MANIFEST, msgspec.json.format(text))
    _sync(folder)
    kept = {file.name for file in manifest.state}
    for path in folder.glob("state-*.safetensors"):
        if path.name not in kept:
            path.unlink()


def _sync(folder: Path) -> None:
    """Bring the folder's names to the disk, so that no later rename can get there before."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _columns(memory: SpatialMap) -> Arrays:
    """The living points by the names that viewers know, and who saw them; -1: nobody more."""
    points = memory.points
    ids = np.flatnonzero(points.weight)
    x, y, z = points.position[ids].T
    red, green, blue = points.colour[ids].T
    columns: Arrays = {"x": x, "y": y, "z": z, "red": red, "green": green, "blue": blue}
    columns["written"] = points.written[ids]
    columns["imagined"] = points.page_block[ids // PAGE, 0].astype(np.uint8)
    sources = points.sources[ids].astype(np.int32)
    for place, source in enumerate(np.where(sources == NONE, -1, sources).T):
        columns[f"source_{place}"] = source
    return columns
