"""The comparison of policies from end to end: its files, going on where it was, and its ends."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.bench.rows import made_up
from worldrt import cli
from worldrt.bench import policies
from worldrt.bench.policies import (
    VARIANTS,
    bench_policies,
    default_policies,
    split_policies,
)
from worldrt.bench.policy_rows import Plan
from worldrt.errors import ConfigError, CorruptFile, OutputError, WorldrtError
from worldrt.memory.policy import find, names
from worldrt.video import read_image
from worldrt.world import World

FILES = {"report.json", "table.md", "quality.png", "bytes.png"}


@pytest.fixture
def plan(world_folder: Path) -> Plan:
    """A lap and a bit of another."""
    return Plan(
        world=str(world_folder), long_seeds=(2,), marks=(4, 24, 64), lap=40, context=6, warm_up=4
    )


class Crew:
    """Stands in for the processes: makes rows up, notes what was asked, fails where told to."""

    def __init__(self, failing: str = "", error: BaseException | None = None) -> None:
        self.asked: list[str] = []
        self._failing, self._error = failing, error

    def __call__(self, work: object, wanted: Sequence[str]) -> Iterator[tuple[str, object]]:
        for policy in wanted:
            if policy == self._failing and self._error:
                raise self._error
            self.asked.append(policy)
            yield policy, made_up(policy, len(self.asked))


@pytest.fixture
def crew(monkeypatch: pytest.MonkeyPatch) -> Crew:
    """No process is begun and no course drawn."""
    found = Crew()
    monkeypatch.setattr(policies, "spread", found)
    monkeypatch.setattr(policies, "_draw_courses", lambda *_: None)
    return found


def fail(monkeypatch: pytest.MonkeyPatch, policy: str, error: BaseException) -> None:
    monkeypatch.setattr(policies, "spread", Crew(policy, error))


def written(out: Path) -> list[str]:
    return [row["policy"] for row in json.loads((out / "report.json").read_text())["rows"]]


def test_policies_are_measured_in_processes_of_their_own(plan: Plan, tmp_path: Path) -> None:
    pytest.importorskip("vizdoom")
    out = tmp_path / "new" / "folder"
    report, _ = bench_policies(plan, out, ["window", "pack"])
    assert {path.name for path in out.iterdir()} == FILES
    assert [row.policy for row in report.rows] == written(out) == ["window", "pack"]
    for row in report.rows:
        assert row.frames == 64 and row.psnr_seen and row.psnr_novel
        assert row.psnr_seen > row.psnr_novel > 3
        assert row.drift and 0.5 < row.drift.sharpness < 2
        assert row.revisit and row.revisit.gain > 3
    assert all(read_image(path).std() > 5 for path in out.glob("*.png"))


def test_every_file_is_written(plan: Plan, tmp_path: Path, crew: Crew) -> None:
    report, _ = bench_policies(plan, tmp_path, ["window", "full"])
    assert {path.name for path in tmp_path.iterdir()} == FILES
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["plan"]["long_seeds"] == [2] and found["machine"]["cores"] >= 1
    assert found["torch"] and found["date"] == report.date
    assert "| `window` |" in (tmp_path / "table.md").read_text()
    assert all(read_image(path).std() > 5 for path in tmp_path.glob("*.png"))


def test_what_is_there_is_not_measured_again(plan: Plan, tmp_path: Path, crew: Crew) -> None:
    bench_policies(plan, tmp_path, ["window", "full"])
    report, _ = bench_policies(plan, tmp_path, ["pack", "full"])
    assert crew.asked == ["window", "full", "pack"]
    # Those that were asked for first, then those of earlier runs.
    assert [row.policy for row in report.rows] == written(tmp_path) == ["pack", "full", "window"]
    bench_policies(plan, tmp_path, ["window"])
    assert len(crew.asked) == 3


@pytest.mark.parametrize("error", [WorldrtError("Policy 'pack' failed."), KeyboardInterrupt()])
def test_rows_are_kept_when_it_ends_early(
    plan: Plan, tmp_path: Path, crew: Crew, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    fail(monkeypatch, "pack", error)
    with pytest.raises(type(error)):
        bench_policies(plan, tmp_path, ["window", "pack", "full"])
    assert {path.name for path in tmp_path.iterdir()} == {"report.json"}
    assert written(tmp_path) == ["window"]
    monkeypatch.setattr(policies, "spread", crew)
    bench_policies(plan, tmp_path, ["window", "pack", "full"])
    assert crew.asked == ["pack", "full"]
    assert written(tmp_path) == ["window", "pack", "full"]


def test_folder_of_another_plan_is_left_alone(plan: Plan, tmp_path: Path, crew: Crew) -> None:
    bench_policies(plan, tmp_path, ["window"])
    before = (tmp_path / "report.json").read_bytes()
    other = Plan(world=plan.world, long_seeds=(3,), marks=plan.marks, lap=40, context=6, warm_up=4)
    with pytest.raises(ConfigError, match=r"long_seeds \(2,\), now \(3,\)\); name another folder"):
        bench_policies(other, tmp_path, ["window", "full"])
    assert (tmp_path / "report.json").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{}", b'{"rows": [1]}'])
def test_damaged_report_is_refused(plan: Plan, tmp_path: Path, crew: Crew, content: bytes) -> None:
    (tmp_path / "report.json").write_bytes(content)
    with pytest.raises(CorruptFile, match="report.json can't be read"):
        bench_policies(plan, tmp_path, ["window"])
    assert (tmp_path / "report.json").read_bytes() == content


def test_mistakes_are_found_before_anything_is_written(
    world_folder: Path, plan: Plan, tmp_path: Path, crew: Crew
) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="Unknown policy 'windw'"):
        bench_policies(plan, out, ["window", "windw"])
    with pytest.raises(ConfigError, match="Unknown world 'nowhere'"):
        bench_policies(Plan(world="nowhere", long_seeds=(0,)), out, ["window"])
    cold = Plan(world=str(world_folder), long_seeds=(0,), marks=(4, 64, 128), warm_up=16)
    with pytest.raises(ConfigError, match="Walks of 64 frames end before they are warm"):
        bench_policies(cold, out, ["window"])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't be made"):
        bench_policies(plan, tmp_path / "file", ["window"])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_all_policies_are_the_default(world: World) -> None:
    found = default_policies(world)
    assert found[0] == world.config.policy and len(set(found)) == len(found)
    assert set(names()) | set(VARIANTS) <= set(found)
    for policy in found:
        find(policy, world.config.block_frames)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("window", ["window"]),
        ("window; pack:mid=8,top=2;window;", ["window", "pack:mid=8,top=2"]),
        (" full ;;pack", ["full", "pack"]),
    ],
)
def test_policies_are_told_apart_by_semicolons(text: str, found: list[str]) -> None:
    assert split_policies(text) == found


def test_no_policies_are_refused() -> None:
    with pytest.raises(ConfigError, match="names none"):
        split_policies(" ; ")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit:
        cli.main(["bench", "policies", *arguments])
    assert isinstance(exit.value.code, int)
    return exit.value.code


@pytest.mark.parametrize(
    ("options", "mazes"), [((), 8), (("--quick",), 3), (("--seeds", "5", "--quick"), 5)]
)
def test_command_ends_with_its_figures(
    world_folder: Path,
    tmp_path: Path,
    crew: Crew,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    mazes: int,
) -> None:
    asked = ("--policies", "window;full", "--out", str(tmp_path), *options)
    assert run(str(world_folder), *asked) == 0
    lines = capsys.readouterr().out.splitlines()
    report = json.loads(lines[-1])
    assert report == json.loads((tmp_path / "report.json").read_text())
    assert len(report["plan"]["long_seeds"] + report["plan"]["short_seeds"]) == mazes
    assert crew.asked == ["window", "full"]
    # Not cut off where nobody looks on.
    assert any(line.split()[:2] == ["window", "1,001"] for line in lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--seeds", "0"), "0 mazes measures nothing"),
        (("--policies", ";"), "names none"),
        (("--policies", "windw"), "Unknown policy 'windw'"),
    ],
)
def test_mistakes_are_one_sentence(
    world_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    assert run(str(world_folder), "--out", str(tmp_path / "out"), *arguments) == 2
    said, complaint = capsys.readouterr()
    assert said == "" and complaint.startswith("worldrt: ") and words in complaint
    assert complaint.count("\n") == 1 and list(tmp_path.iterdir()) == []


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    text = capsys.readouterr().out
    options = ("--out", "--policies", "--seeds", "--quick")
    assert "Compare cache policies" in text and all(option in text for option in options)
