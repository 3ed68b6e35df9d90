"""Prompts of a walk that are known beforehand: which holds when, and where a scene is cut."""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from worldrt.config import check
from worldrt.errors import ConfigError, InputError

SCENE = re.compile(r"\[\s*([^\]#]*?)\s*s?\s*(#?)\s*\]\s*(.*)", re.DOTALL)
COLUMNS = ["seconds", "prompt", "cut"]
"""First line of a CSV file of prompts; `cut` may be left out."""
LONGEST = 1e9
"""Seconds; more makes no sense."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A prompt and the frame from which on it holds."""

    frame: int
    prompt: str
    cut: bool = False
    """It begins with a cut: the view before it is not gone on with."""


def read_prompts(text: str, fps: float) -> list[Scene]:
    """Prompts as a user writes them.

    Args:
        text: `[10s] a | [10s#] b`: ten seconds of a, a cut, ten seconds of b; one prompt alone
            needs no time. The last one holds on.
        fps: frames a second.

    Returns:
        In order of time, the first at frame 0.

    Raises:
        ConfigError: a time or a prompt that makes no sense.

    Source: infinity-RoPE (arXiv 2511.20649), its prompt files; a `#` cuts where its scene begins.
    """
    if "[" not in text:
        return _scenes([("1", text, False)], fps)
    written = []
    for entry in re.split(r"\|(?=\s*\[)", text):
        match = SCENE.fullmatch(entry.strip())
        if match is None:
            raise ConfigError(
                f"A scene is [SECONDS] PROMPT, for example [10s] a fox | [5s#] snow, got "
                f"{entry.strip()!r}."
            )
        written.append((match[1], match[3], match[2] == "#"))
    return _scenes(written, fps)


def read_prompt_file(path: Path, fps: float) -> list[Scene]:
    """Prompts of a file.

    Args:
        path: `.csv` with a first line `seconds,prompt,cut` and a scene a line, `cut` being yes, no
            or empty; any other is read as `read_prompts` reads a text.
        fps: frames a second.

    Raises:
        InputError: there is no such file, or it is no text.
        ConfigError: a column, time or prompt that makes no sense.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} can't be read ({error}).") from error
    if path.suffix != ".csv":
        return read_prompts(text.strip(), fps)
    lines = list(csv.reader(text.splitlines()))
    if not lines or lines[0] not in (COLUMNS, COLUMNS[:2]):
        first = ",".join(lines[0]) if lines else "nothing"
        raise ConfigError(f"{path} begins with {first!r}, expected {','.join(COLUMNS)!r}.")
    written = []
    for number, line in enumerate(lines[1:], 2):
        cut = line[2].strip().lower() if len(line) == len(COLUMNS) else ""
        check(
            len(line) == len(lines[0]) and cut in ("", "yes", "no"),
            f"{path}, line {number}: {len(line)} columns that end in {line[-1:]}, expected "
            f"{len(lines[0])}, a cut being yes, no or empty.",
        )
        written.append((line[0], line[1], cut == "yes"))
    check(len(written) > 0, f"{path} has {len(written)} prompts; write at least 1.")
    return _scenes(written, fps)


def prompt_at(scenes: Sequence[Scene], frame: int) -> Scene:
    """The scene that holds in the block which begins at `frame`."""
    assert scenes[0].frame == 0 <= frame
    return next(scene for scene in reversed(scenes) if scene.frame <= frame)


def _scenes(written: Iterable[tuple[str, str, bool]], fps: float) -> list[Scene]:
    scenes, begun = list[Scene](), 0.0
    for told, prompt, cut in written:
        try:
            seconds = float(told)
        except ValueError as error:
            raise ConfigError(
                f"A scene lasts some seconds, for example [10s], got {told!r}."
            ) from error
        check(
            0 < seconds < LONGEST,
            f"A scene of {told} seconds is never seen; say more than 0 and less than {LONGEST:g}.",
        )
        check(prompt.strip() != "", f"The scene at {begun:g} seconds has no prompt; write one.")
        check(
            not (cut and begun == 0),
            "The scene at 0 seconds has nothing to be cut from; say # in the scene after the cut.",
        )
        scenes.append(Scene(round(begun * fps), prompt.strip(), cut))
        begun += seconds
    for one, other in pairwise(scenes):
        check(
            one.frame < other.frame,
            f"The scene {one.prompt!r} is shorter than a frame of {1 / fps:g} seconds; give it "
            "more time.",
        )
    return scenes
