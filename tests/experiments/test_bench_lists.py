"""The benchmark of lists: a tiny run of it, with this build in both places. Nothing here depends on how fast a machine is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_tiny_run(load_experiment, tmp_path, capsys):
    out = tmp_path / "lists.json"
    arguments = ["--runs", "4", "--measured", "30", "60", "--turns", "1", "--looks", "1"]
    load_experiment("bench_lists").main([*arguments, "--reference", str(ROOT), "--results", str(out)])
    result = json.loads(out.read_text())
    assert set(result["summary"]) == {
        "ls, reference", "ls, no rows", "ls, rows", "dashboard, reference", "dashboard, now",
    }  # fmt: skip
    assert result["summary"]["ls, rows"]["seconds"]["median"] < result["summary"]["ls, no rows"]["seconds"]["median"]
    assert len(result["targets"]) == 7
    assert "gradlens-" not in json.dumps(result["settings"])
    assert "second look, over the earlier build" in capsys.readouterr().out


def test_the_figures_of_turns_are_put_together(load_experiment):
    bench = load_experiment("bench_lists")
    turns = [{"ls, rows": {"seconds": s}} for s in (3.0, 1.0, 2.0)]
    assert bench.summary(turns) == {"ls, rows": {"seconds": {"median": 2.0, "least": 1.0, "most": 3.0}}}
