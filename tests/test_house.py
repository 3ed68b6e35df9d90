"""The house in order: folders with a reason, packages listed, every dependency locked."""

import re
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from worldrt import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IGNORED = [
    line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line[-1:] == "/"
]
MIRRORS = {"tests", "checkpoints"}
"""Rooms whose folders need no reason of their own: each mirrors a room, each has a world.toml."""


def folders(above: Path) -> list[Path]:
    """Real folders of the house below `above`, without what git ignores."""
    found = []
    for path in sorted(above.iterdir()):
        ignored = any(fnmatch(path.name, pattern) for pattern in IGNORED)
        if path.is_dir() and not (path.is_symlink() or ignored or path.name.startswith(".")):
            found.append(path)
            if path.name not in MIRRORS:
                found.extend(folders(path))
    return found


@pytest.mark.parametrize("folder", folders(ROOT), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_folder_has_a_reason(folder: Path) -> None:
    reason = (folder / "README.md").read_text().splitlines()[0]
    assert 20 <= len(reason) <= 200, reason
    assert reason.endswith("."), reason


def test_every_package_is_listed() -> None:
    packages = {"worldrt"}
    for folder in folders(ROOT):
        parts = folder.relative_to(ROOT).parts
        if parts[0] not in ("tests", "docs") and list(folder.glob("*.py")):
            packages.add(".".join(parts if parts[0] == "worldrt" else ("worldrt", *parts)))
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    assert packages - listed == set(), "add these to [tool.setuptools] packages"
    for package in listed:
        assert (ROOT / package.replace(".", "/")).is_dir(), f"{package} is listed and isn't there"


def test_the_version_is_said_once_more() -> None:
    assert PROJECT["project"]["version"] == __version__


def test_every_requirement_is_locked() -> None:
    lock = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        match = re.fullmatch(r"([A-Za-z0-9_.-]+)==([A-Za-z0-9.]+)", line)
        assert match is not None or line.startswith("#"), line
        if match is not None:
            lock[canonicalize_name(match[1])] = match[2]
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]]
    for text in wanted + [text for extra in extras for text in extra]:
        requirement = Requirement(text)
        version = lock[canonicalize_name(requirement.name)]
        assert version in requirement.specifier, f"{text}, but {version} is locked"


def test_make_explains_itself() -> None:
    result = subprocess.run(
        ["make", "-C", ROOT, "help"], capture_output=True, text=True, check=True
    )
    targets = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in " ".join(targets).split():
        assert re.search(rf"^ +{target} +\w", result.stdout, re.MULTILINE), target


@pytest.mark.parametrize("text", ["LICENSE", "NOTICE", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_papers_are_there(text: str) -> None:
    assert len((ROOT / text).read_text()) > 200
