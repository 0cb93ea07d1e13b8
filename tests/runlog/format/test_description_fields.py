"""One bad run never takes down the others, whatever its run.json and events.jsonl hold; nothing steers the terminal."""

import json
import subprocess
import sys

import pytest

from gradlens.analysis.kept_overview import overviews
from gradlens.analysis.run_query import with_cards
from gradlens.reports.html import render
from gradlens.reports.listing import runs_text
from gradlens.runlog import Run, RunError, list_runs
from gradlens.runlog.format.description import read_meta
from gradlens.runlog.format.description_fields import FIELDS
from gradlens.runlog.format.events import line_of
from gradlens.runlog.format.text_proof import proven_text
from tests.runlog.made import write_run

WRONG = [True, -1, 10**30, 1e300, "x\x1b[2J", [], {}, [[]], {"a": {"b": []}}, 0.5, [None]]


@pytest.fixture
def folder(tmp_path):
    for name in ("bad", "good"):
        writer = write_run(tmp_path / name, range(30), close=False)
        writer.event("mark", 3, text="a")
        writer.event("phase", 3, name="I")
        writer.event("evaluation", 3, overall=50.0)
        writer.close()
    return tmp_path


def shown(folder):
    out = runs_text(*with_cards(overviews(folder)), width=1000)
    assert "\x1b" not in out
    assert "good" in out
    return out


@pytest.mark.parametrize("field", [*FIELDS, "format"])
def test_wrong_types_in_the_description(folder, field):
    path = folder / "bad" / "run.json"
    known = json.loads(path.read_text())
    for wrong in WRONG:
        path.write_bytes(proven_text(json.dumps({**known, field: wrong}).encode()))
        text = shown(folder)
        assert "bad" in text
        try:
            run = Run(folder / "bad")
        except RunError:
            continue
        assert run.steps.tolist() == list(range(30)) or run.warnings
    if field in ("started", "timings", "extra", "class_counts"):
        assert "good" in render([run for _, run in list_runs(folder) if isinstance(run, Run)])


@pytest.mark.parametrize("field", ["kind", "step", "time", "session", "text", "name", "overall"])
def test_wrong_types_in_an_event(folder, field):
    path, known = folder / "bad" / "events.jsonl", read_meta(folder / "bad")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for wrong in WRONG:
        path.write_bytes(b"".join(line_of({**event, field: wrong}, known.id) for event in lines))
        shown(folder)
        run = Run(folder / "bad")
        assert len(run) == 30
        assert all(isinstance(mark.step, int) for mark in run.marks)
        run.phases, run.evaluations  # noqa: B018


def test_deep_nesting_is_damage(folder):
    deep = "[" * 100_000 + "]" * 100_000
    (folder / "bad" / "run.json").write_text('{"format": "gradlens-run", "schema": 1, "extra": ' + deep + "}")
    with open(folder / "bad" / "events.jsonl", "a") as file:
        file.write('{"kind": "mark", "step": 1, "text": ' + deep + "}\n")
    shown(folder)
    run = Run(folder / "bad")
    assert len(run) == 30
    assert len(run.warnings) >= 2


def test_very_many_marks_are_cut(folder):
    known = read_meta(folder / "bad")
    with open(folder / "bad" / "events.jsonl", "ab") as file:
        line = line_of({"kind": "mark", "step": 5, "text": "x"}, known.id)
        file.write(line * 200_000)
    run = Run(folder / "bad")
    assert any("beyond the first 100,000" in text for text in run.warnings)
    page = render([run])
    assert len(page) < 20_000_000


def test_escape_characters_never_reach_the_terminal(tmp_path):
    writer = write_run(tmp_path / "a\x1b[31m", range(3), close=False)
    writer.update_meta(method="m\x1b]0;title\x07", dataset="d\u202e")
    writer.close("failed", "reason \x1b[2J")
    write_run(tmp_path / "good", range(3))
    text = shown(tmp_path)
    assert "m\\x1b]0;title\\x07" in text
    (tmp_path / "a\x1b[31m" / "run.json").write_text("{")
    done = subprocess.run(
        [sys.executable, "-m", "gradlens", "report", str(tmp_path / "nowhere\x1b[2J")], capture_output=True, check=False
    )
    assert done.returncode == 2
    assert b"\x1b" not in done.stderr


def test_two_trainings_of_one_name(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from gradlens.tracking.launch.run_folder import make_folder\n"
        "make_folder(None, 'same', 'x'); print('made', flush=True); time.sleep(float(sys.argv[1]))\n"
    )
    first = subprocess.Popen([sys.executable, "-c", code, "60"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout.readline() == "made\n"
        second = subprocess.run(
            [sys.executable, "-c", code, "0"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
    finally:
        first.kill()
        first.communicate()
    assert "another training is about to write" in second.stderr
