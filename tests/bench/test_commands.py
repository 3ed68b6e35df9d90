"""`worldrt bench`: what its subcommands measure and print."""

import json
from pathlib import Path

import pytest

from worldrt.bench.commands import Bench, BenchPolicies, BenchSoak


def test_soak_prints_a_table_and_ends_with_one_json_line(
    world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soak = BenchSoak(world=str(world_folder), out=tmp_path, blocks=52, policy="deep", start="room")
    Bench(part=soak).run()
    *table, last = capsys.readouterr().out.splitlines()
    assert json.loads(last)["policy"] == "deep" and any("policy deep" in line for line in table)
    assert (tmp_path / "soak.png").stat().st_size > 0


@pytest.mark.parametrize(
    "quick, seeds, asked", [(False, None, 8), (True, None, 3), (False, 2, 2), (True, 5, 5)]
)
def test_quick_asks_for_fewer_mazes_and_seeds_for_as_many_as_said(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    quick: bool,
    seeds: int | None,
    asked: int,
) -> None:
    plans = []

    def note(plan: object, out: Path, policies: list[str] | None) -> tuple[dict[str, int], str]:
        plans.append((plan, out, policies))
        return {"rows": 0}, "a table"

    monkeypatch.setattr("worldrt.bench.policies.bench_policies", note)
    monkeypatch.setattr("worldrt.bench.policy_rows.Plan.of", lambda world, seeds: (world, seeds))
    BenchPolicies(policies="window; pack:top=2", seeds=seeds, quick=quick).run()
    assert plans == [(("maze", asked), Path("out/policies"), ["window", "pack:top=2"])]
    assert capsys.readouterr().out.splitlines()[-1] == '{"rows":0}'
