"""Who may import whom: the rooms of the house, lowest first, and a check of every import in it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
BESIDE = ("memory", "kernels", "geometry", "client", "checkpoints")
"""Folders beside worldrt/ that are its subpackages."""

GROUND = {"errors", "config"}
LAYERS = (
    GROUND,
    {"geometry", "checkpoints", "protocol", "video", "parts"},
    {"kernels"},
    {"memory"},
    {
        "model",
        "layer",
        "codec",
        "text",
        "wan_codec",
        "conditioning",
        "packing",
        "atlas",
        "estimate",
    },
    {"simulators"},
    {"sampler", "forecast", "world", "starts"},
    {"history", "rollout", "recall", "outlook", "schedule", "prompts", "clock"},
    {"session", "chunk", "actions", "transcript", "snapshot"},
    {"render", "replay", "tally", "server", "workers", "bench", "training", "doctor", "client"}
    | {"published", "holdings", "weights"},
    {"cli"},
    {"__init__", "__main__"},
)
"""A room may import those beneath it and those beside it; modules never import in a circle.

`__init__` is `worldrt` itself: everyone may ask for its version.
"""
ONLY = {
    "geometry": GROUND,
    "checkpoints": GROUND,
    "protocol": GROUND,
    "video": GROUND,
    "kernels": GROUND | {"geometry"},
    "memory": GROUND | {"geometry", "kernels"},
    "simulators": GROUND | {"geometry"},
    "client": GROUND | {"protocol"},
}
"""Rooms that may import less than their layer."""


class Import(NamedTuple):
    """An import of one of our modules."""

    target: str
    line: int
    lazy: bool
    """Inside a function: run when it is called."""


def name(path: Path) -> str:
    """Import name of the file `path`, relative to the root."""
    parts = path.with_suffix("").parts
    parts = parts if parts[0] == "worldrt" else ("worldrt", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    """The room of a module: the part after `worldrt`, itself `__init__`."""
    return (module.split(".") + ["__init__"])[1]


FILES = {
    name(path.resolve().relative_to(ROOT)): path
    for folder in ("worldrt", *BESIDE)
    for path in sorted((ROOT / folder).rglob("*.py"))
}
"""Each file once, by its import name: a file behind a link has the name of the real one."""


def imports(module: str, source: str, modules: set[str]) -> Iterator[Import | str]:
    """Our modules that `source` imports, and a sentence for each import that is relative."""
    tree = ast.parse(source)
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    lazy = {
        inner
        for outer in ast.walk(tree)
        if isinstance(outer, functions)
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level > 0:
                yield f"{module}:{node.lineno} imports relatively"
                continue
            targets = []
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                targets.append(inner if inner in modules else node.module or "")
        else:
            continue
        for target in targets:
            if target.split(".")[0] == "worldrt":
                yield Import(target, node.lineno, node in lazy)


def allowed(importer: str, imported: str) -> bool:
    """Whether the room `importer` may import the room `imported`."""
    if imported in (importer, "__init__"):
        return True
    if importer in ONLY:
        return imported in ONLY[importer]
    above = next(i for i, layer in enumerate(LAYERS) if importer in layer)
    return any(imported in layer for layer in LAYERS[: above + 1])


def complaints(module: str, source: str, modules: set[str]) -> list[str]:
    """What is wrong with the imports of `module`."""
    if room(module) not in set().union(*LAYERS):
        return [f"{module} is in no layer: give {room(module)!r} its place in LAYERS"]
    found = []
    for each in imports(module, source, modules):
        if isinstance(each, str):
            found.append(each)
            continue
        where = f"{module}:{each.line}"
        if not allowed(room(module), room(each.target)):
            found.append(f"{where} imports {each.target}, which is not beneath it")
        if each.target.endswith("_triton"):
            if each.target != f"{module}_triton":
                found.append(f"{where} imports {each.target}, which belongs to its sibling alone")
            elif not each.lazy:
                found.append(f"{where} imports {each.target} when loaded, not on first use")
    return found


@pytest.mark.parametrize("module", FILES)
def test_imports_point_downwards(module: str) -> None:
    assert complaints(module, FILES[module].read_text(), set(FILES)) == []


def test_modules_do_not_import_in_a_circle() -> None:
    graph = {}
    for module, path in FILES.items():
        found = imports(module, path.read_text(), set(FILES))
        targets = {each.target for each in found if isinstance(each, Import)}
        graph[module] = targets - {"worldrt"}  # loaded before any module in it
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"an import circle: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize(
    "module, source, complaint",
    [
        ("worldrt.geometry.camera", "from worldrt.config import Config", None),
        ("worldrt.geometry.rays", "from worldrt.geometry import camera", None),
        ("worldrt.geometry.rays", "import worldrt.model", "not beneath"),
        ("worldrt.geometry.rays", "from worldrt import model", "not beneath"),
        ("worldrt.geometry.rays", "from worldrt import __version__", None),
        ("worldrt.kernels.rope", "from worldrt.memory.cache import Cache", "not beneath"),
        ("worldrt.memory.cache", "def f():\n    import worldrt.model", "not beneath"),
        ("worldrt.memory.cache", "from worldrt.checkpoints.files import x", "not beneath"),
        ("worldrt.simulators.doom.engine", "import worldrt.geometry.camera", None),
        ("worldrt.simulators.doom.engine", "import worldrt.kernels.splat", "not beneath"),
        ("worldrt.protocol", "from worldrt.geometry.camera import Camera", "not beneath"),
        ("worldrt.client.stream", "from worldrt.protocol import Hello", None),
        ("worldrt.client.stream", "from worldrt.server import Server", "not beneath"),
        ("worldrt.session", "from worldrt.render import render", "not beneath"),
        ("worldrt.model", "import worldrt.simulators.doom.engine", "not beneath"),
        ("worldrt", "def load():\n    from worldrt.world import World", None),
        ("worldrt.bench.speed", "from worldrt.render import render", None),
        ("worldrt.cli", "from worldrt.model import Model", None),
        ("worldrt.attic", "import sys", "in no layer"),
        ("worldrt.codec", "from .config import Config", "relatively"),
        ("worldrt.codec", "from . import config", "relatively"),
        ("worldrt.kernels.rope", "def f():\n    import worldrt.kernels.rope_triton", None),
        ("worldrt.kernels.rope", "import worldrt.kernels.rope_triton", "on first use"),
        ("worldrt.model", "def f():\n    import worldrt.kernels.rope_triton", "sibling alone"),
    ],
)
def test_the_check_itself(module: str, source: str, complaint: str | None) -> None:
    modules = {"worldrt.model", "worldrt.config", "worldrt.geometry.camera"}
    found = complaints(module, source, modules)
    assert len(found) == (complaint is not None)
    assert complaint is None or complaint in found[0]


def test_the_files_are_found() -> None:
    assert {"worldrt", "worldrt.cli", "worldrt.geometry.camera"} <= set(FILES)
    assert not any(name.startswith("worldrt.worldrt") for name in FILES)


@pytest.mark.parametrize("folder", BESIDE)
def test_folders_beside_worldrt_are_linked_and_have_no_init(folder: str) -> None:
    """With an `__init__.py`, a folder at the root would hide an installed package of its name."""
    link = ROOT / "worldrt" / folder
    assert link.is_symlink() and link.readlink() == Path("..", folder)
    assert list((ROOT / folder).rglob("__init__.py")) == []


def test_packages_hold_nothing_but_a_docstring() -> None:
    for module, path in FILES.items():
        if path.name == "__init__.py" and module != "worldrt":
            kinds = [type(node) for node in ast.parse(path.read_text()).body]
            assert kinds in ([], [ast.Expr]), module


def test_worldrt_itself_loads_the_standard_library_at_most() -> None:
    program = (
        "import sys; before = set(sys.modules); import worldrt; print(*set(sys.modules) - before)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.split())
    assert {module.split(".")[0] for module in loaded} - sys.stdlib_module_names == {"worldrt"}
    assert {module for module in loaded if module.startswith("worldrt.")} == set()
