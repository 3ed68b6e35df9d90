"""What the folder of a saved memory says that it holds, and the files as they were written."""

import hashlib
from pathlib import Path
from typing import Annotated

import msgspec

from worldrt.errors import CorruptFile, InputError
from worldrt.geometry.camera import Camera

FORMAT = "worldrt spatial memory"
VERSION = 2
"""Of what is written; older ones are read, a newer one is refused. 2: with what moves."""
MANIFEST = "manifest.json"


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the folder."""

    name: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a folder holds."""

    format: str = FORMAT
    version: int = VERSION
    axes: str = "x right, y down, z forward; poses are camera to world"
    units: str = "metres"
    camera: Camera
    """Of the frames that were inserted."""
    budget_bytes: int
    """That the memory was made with."""
    latent_shape: tuple[int, int, int] | None
    """[C, h, w] of its keyframes' latents."""
    points: int
    keyframes: int
    state: Annotated[tuple[File, ...], msgspec.Meta(min_length=1)]
    """The whole, then the changes in order."""
    ply: File
    sha256: str = ""
    """Of this manifest, were this field empty."""

    @property
    def made_with(self) -> tuple[Camera, int, tuple[int, int, int] | None]:
        """What never changes in a memory: camera, budget in bytes, shape of the latents."""
        return self.camera, self.budget_bytes, self.latent_shape

    @property
    def deltas(self) -> int:
        """Files of changes since the last save."""
        return len(self.state) - 1

    def sealed(self) -> "Manifest":
        """The same, with its own checksum."""
        return msgspec.structs.replace(self, sha256=_seal(self))


class _Head(msgspec.Struct):
    """What any version of the manifest says."""

    format: str
    version: int


def read_manifest(folder: Path) -> Manifest:
    """What a folder says that it holds; its files are not read.

    Raises:
        InputError: it holds no memory, or one of another format or a newer version.
        CorruptFile: the manifest is damaged.
    """
    path = folder / MANIFEST
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{folder} holds no saved memory ({path.name}: {error.strerror}); name the folder that "
            "one was saved to."
        ) from error
    try:
        head = msgspec.json.decode(text, type=_Head)
        if head.format != FORMAT:
            raise InputError(
                f"{folder} holds {head.format!r}, expected {FORMAT!r}; name the folder of a saved "
                "memory."
            )
        if not 1 <= head.version <= VERSION:
            raise InputError(
                f"{folder} was saved by format {head.version}, this build reads 1 to {VERSION}; "
                "update worldrt to load it."
            )
        manifest = msgspec.json.decode(text, type=Manifest)
    except ValueError as error:  # msgspec's own, or text that is no UTF-8
        raise CorruptFile(path, str(error)) from error
    if manifest.sha256 != _seal(manifest):
        raise CorruptFile(path, "its checksum is wrong")
    return manifest


def read_file(folder: Path, file: File) -> bytes:
    """The content of a file, as it was written.

    Raises:
        CorruptFile: it is missing, damaged or cut short.
    """
    path = folder / file.name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorruptFile(path, error.strerror or "missing") from error
    if len(content) != file.bytes:
        raise CorruptFile(path, f"it has {len(content)} of {file.bytes} bytes")
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise CorruptFile(path, "its checksum is wrong")
    return content


def _seal(manifest: Manifest) -> str:
    content = msgspec.json.encode(msgspec.structs.replace(manifest, sha256=""))
    # As it will be read: a whole number in a camera comes back as a float.
    read = msgspec.json.decode(content, type=Manifest)
    return hashlib.sha256(msgspec.json.encode(read)).hexdigest()
