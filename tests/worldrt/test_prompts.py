"""Prompts as a user writes them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldrt.errors import ConfigError, InputError
from worldrt.prompts import Scene, prompt_at, read_prompt_file, read_prompts


@pytest.mark.parametrize(
    "text, scenes",
    [
        ("a fox | in snow", [Scene(0, "a fox | in snow")]),
        ("[10s] a | [10s#] b", [Scene(0, "a"), Scene(160, "b", cut=True)]),
        ("[ 2.5 ]  a\n| [1s] b|c | [3s] d", [Scene(0, "a"), Scene(40, "b|c"), Scene(56, "d")]),
        ("[1s] a | [1s #] b", [Scene(0, "a"), Scene(16, "b", cut=True)]),
    ],
)
def test_scenes_follow_one_another(text: str, scenes: list[Scene]) -> None:
    assert read_prompts(text, 16) == scenes


@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=9),
    st.floats(1, 60),
    st.integers(0, 9999),
)
def test_the_prompt_of_a_frame_is_the_last_that_began(
    seconds: list[int], fps: float, frame: int
) -> None:
    text = " | ".join(f"[{one}s] scene {index}" for index, one in enumerate(seconds))
    scenes = read_prompts(text, fps)
    starts = [round(sum(seconds[:index]) * fps) for index in range(len(seconds))]
    expected = sum(start <= frame for start in starts) - 1
    assert prompt_at(scenes, frame) == Scene(starts[expected], f"scene {expected}")


def test_a_table_says_the_same(tmp_path: Path) -> None:
    table, plain = tmp_path / "p.csv", tmp_path / "p.txt"
    table.write_text('seconds,prompt,cut\n10,"a fox, running",\n2.5,snow,yes\n4,night,no\n')
    plain.write_text("[10s] a fox, running | [2.5s#] snow | [4s] night\n")
    found = read_prompt_file(table, 16)
    assert found == read_prompt_file(plain, 16)
    assert [scene.cut for scene in found] == [False, True, False]
    table.write_text("\ufeffseconds,prompt\n1,a\n2,b\n", encoding="utf-8")
    assert read_prompt_file(table, 10) == [Scene(0, "a"), Scene(10, "b")]


@pytest.mark.parametrize(
    "text, says",
    [
        ("[10s a", "A scene is [SECONDS] PROMPT, for example [10s] a fox | [5s#] snow, got"),
        ("a [10s] b", "A scene is [SECONDS] PROMPT, for example [10s] a fox | [5s#] snow, got"),
        ("[ten] a", "A scene lasts some seconds, for example [10s], got 'ten'."),
        ("[] a", "A scene lasts some seconds, for example [10s], got ''."),
        ("[0s] a", "A scene of 0 seconds is never seen; say more than 0 and less than 1e+09."),
        ("[nan] a", "A scene of nan seconds is never seen; say more than 0 and less than 1e+09."),
        ("[1s] a | [2s]", "The scene at 1 seconds has no prompt; write one."),
        ("", "The scene at 0 seconds has no prompt; write one."),
        (
            "[1s#] a",
            "The scene at 0 seconds has nothing to be cut from; say # in the scene after the cut.",
        ),
        (
            "[0.01s] a | [1s] b",
            "The scene 'a' is shorter than a frame of 0.0625 seconds; give it more time.",
        ),
    ],
)
def test_prompts_that_make_no_sense(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_prompts(text, 16)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    "content, says",
    [
        ("", "p.csv begins with 'nothing', expected 'seconds,prompt,cut'."),
        ("a,b\n", "p.csv begins with 'a,b', expected 'seconds,prompt,cut'."),
        ("seconds,prompt\n", "p.csv has 0 prompts; write at least 1."),
        (
            "seconds,prompt,cut\n1,a,\n1,b,maybe\n",
            "p.csv, line 3: 3 columns that end in ['maybe'], expected 3, a cut being yes, no or "
            "empty.",
        ),
        (
            "seconds,prompt\n1,a,b\n",
            "p.csv, line 2: 3 columns that end in ['b'], expected 2, a cut being yes, no or empty.",
        ),
    ],
)
def test_tables_that_make_no_sense(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.csv").write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_prompt_file(Path("p.csv"), 16)
    assert str(caught.value) == says


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_can_t_be_read(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "p.txt").write_bytes(content)
    with pytest.raises(InputError, match="p.txt can't be read"):
        read_prompt_file(tmp_path / "p.txt", 16)
