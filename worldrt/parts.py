"""The parts that worldrt uses where a machine has them: how each is found, what for, how to get it.

A part's probe returns a few words about what it found, or raises. What it raises is the reason
shown, so nothing that fails is ever called merely "not there".
"""

import ctypes
import importlib
import importlib.metadata
import importlib.util
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

GIB = 2**30
DEBIAN = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libX11.so.6": "libx11-6",
    "libgomp.so.1": "libgomp1",
    "libusb-1.0.so.0": "libusb-1.0-0",
}
"""Debian packages of the shared libraries that wheels leave to the system."""
PIP = f"{shlex.quote(sys.executable)} -m pip install"
"""For the environment that this runs in, whichever `pip` is first on PATH."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What came of looking for a part."""

    part: str
    found: bool
    detail: str
    """Version and kind, or why it can't be used."""
    purpose: str
    remedy: str
    """The command that gets it; empty when it was found."""
    required: bool


class Absent(Exception):
    """A probe's answer: not on this machine; the message says what is lacking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Something that worldrt uses if it is there."""

    name: str
    probe: Callable[[], str]
    """Returns a few words about what was found; raises whatever went wrong."""
    purpose: str
    remedy: str
    libraries: tuple[str, ...] = ()
    """Shared libraries that it needs of the system."""
    required: bool = False


def version(module: str) -> Callable[[], str]:
    """A probe that imports `module` and tells its version."""

    def probe() -> str:
        if importlib.util.find_spec(module) is None:
            raise Absent("not installed")
        return importlib.import_module(module).__version__

    return probe


def cuda() -> str:
    """Name, memory and compute capability of each CUDA device."""
    import torch

    if torch.version.cuda is None:
        raise Absent("this torch is a CPU build")
    if not torch.cuda.is_available():
        raise Absent(f"torch for CUDA {torch.version.cuda} sees no device or driver")
    devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return "; ".join(
        f"{device.name}, {device.total_memory / GIB:.0f} GiB, sm_{device.major}{device.minor}"
        for device in devices
    )


def torch_build() -> str:
    """Version of torch and the threads it will use."""
    found = version("torch")()
    import torch

    return f"{found}, {torch.get_num_threads()} threads"


def encoders() -> str:
    """Version of PyAV, which must bring the H.264 encoder."""
    found = version("av")()
    import av

    if "libx264" not in av.codecs_available:
        raise Absent(f"PyAV {found} was built without libx264")
    return f"{found}, libx264"


def playwright() -> str:
    """Version of Playwright's Python package; its own browsers are not needed."""
    try:
        return importlib.metadata.version("playwright")
    except importlib.metadata.PackageNotFoundError:
        raise Absent("not installed") from None


def browser() -> str:
    """Path of a Chromium."""
    for name in BROWSERS:
        path = shutil.which(name)
        if path is not None:
            return path
    raise Absent(f"none of {', '.join(BROWSERS)} on PATH")


PARTS = (
    Part(
        name="torch",
        probe=torch_build,
        purpose="runs the transformer and the codec",
        remedy=f"{PIP} torch",
        required=True,
    ),
    Part(
        name="CUDA",
        probe=cuda,
        purpose="runs larger worlds and trains faster",
        remedy=f"install an NVIDIA driver, then {PIP} --force-reinstall torch",
    ),
    Part(
        name="triton",
        probe=version("triton"),
        purpose="fused kernels on a GPU",
        remedy=f"{PIP} triton",
    ),
    Part(
        name="flash-attn",
        probe=version("flash_attn"),
        purpose="faster attention on a GPU",
        remedy=f"{PIP} --no-build-isolation flash-attn",
    ),
    Part(
        name="numba",
        probe=version("numba"),
        purpose="splats the spatial memory and casts the simulator's rays",
        remedy=f"{PIP} numba",
        required=True,
    ),
    Part(
        name="opencv",
        probe=version("cv2"),
        purpose="reads, scales and writes images",
        remedy=f"{PIP} opencv-python-headless",
        required=True,
    ),
    Part(
        name="PyAV",
        probe=encoders,
        purpose="writes and reads videos",
        remedy=f"{PIP} --force-reinstall av",
        required=True,
    ),
    Part(
        name="ViZDoom",
        probe=version("vizdoom"),
        purpose="the ground-truth mazes: training data, starts and benchmarks",
        remedy=f"{PIP} vizdoom",
    ),
    Part(
        name="Open3D",
        probe=version("open3d"),
        purpose="makes a mesh of a saved spatial memory",
        remedy=f"{PIP} open3d",
        libraries=("libusb-1.0.so.0", "libGL.so.1", "libX11.so.6", "libgomp.so.1"),
    ),
    Part(
        name="transformers",
        probe=version("transformers"),
        purpose="tells the depth of a picture that a walk starts from, and reads prompts",
        remedy=f"{PIP} transformers",
    ),
    Part(
        name="diffusers",
        probe=version("diffusers"),
        purpose="the autoencoder of the Wan family",
        remedy=f"{PIP} diffusers",
    ),
    Part(
        name="Playwright",
        probe=playwright,
        purpose="drives a browser through the viewer, in tests and in bench latency",
        remedy=f"{PIP} playwright",
    ),
    Part(
        name="Chromium",
        probe=browser,
        purpose="shows the viewer without a screen, in tests and in bench latency",
        remedy="apt-get install -y chromium",
    ),
)


def lacking(libraries: tuple[str, ...]) -> list[str]:
    """Those of `libraries` that the system's loader doesn't find."""
    missing = []
    for library in libraries:
        try:
            ctypes.CDLL(library)
        except OSError:
            missing.append(library)
    return missing


def remedy(part: Part, missing: list[str], installed: bool) -> str:
    """The command that gets `part` where the system lacks the shared libraries `missing`."""
    if not missing:
        return part.remedy
    packages = " ".join(DEBIAN.get(library, f"(the package of {library})") for library in missing)
    libraries = f"apt-get install -y {packages}"
    return libraries if installed else f"{libraries} && {part.remedy}"


def examine(part: Part) -> Finding:
    """Look for `part`; whatever keeps it from being used becomes the detail."""
    try:
        return Finding(
            part=part.name,
            found=True,
            detail=part.probe(),
            purpose=part.purpose,
            remedy="",
            required=part.required,
        )
    except Absent as absent:
        detail, installed = str(absent), False
    # A broken wheel can raise anything while it is imported: OSError for a library, AttributeError
    # for another numpy. Each is an answer here, and the type belongs to it.
    except Exception as error:
        detail, installed = f"{type(error).__name__}: {error}", True
    missing = lacking(part.libraries) if sys.platform == "linux" else []
    named = re.search(r"(\S+\.so[.\d]*): cannot open shared object", detail)
    if named is not None and named[1] not in missing:
        missing.append(named[1])
    return Finding(
        part=part.name,
        found=False,
        detail=" ".join(detail.split()),
        purpose=part.purpose,
        remedy=remedy(part, missing, installed),
        required=part.required,
    )
