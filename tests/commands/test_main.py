"""The command line: what it takes, what it refuses, and how it says so."""

from __future__ import annotations

import importlib.metadata
import io
import json
import subprocess
import sys

import pytest

from gradlens.commands import command_line
from gradlens.commands import main as cli
from gradlens.groups import ClassGroups
from tests.made_runs import make_run


@pytest.fixture
def gradlens(monkeypatch, capsys, tmp_path):
    """Runs a command in an empty folder; returns exit code, output and what gradlens said."""
    monkeypatch.chdir(tmp_path)
    # Nothing here trains; the process of the tests stays as it is.
    monkeypatch.setattr("gradlens.tracking.launch.session.after_torch_import", lambda _: None)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def call(*arguments):
        said = io.StringIO()
        monkeypatch.setattr(sys, "argv", ["gradlens", *map(str, arguments)])
        monkeypatch.setattr(sys, "__stderr__", said)
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return code, captured.out, said.getvalue() + captured.err

    return call


@pytest.fixture
def planned(monkeypatch, gradlens):
    """Returns what `track` would run, without running it."""
    plans = []
    monkeypatch.setattr(command_line, "track", lambda *args, **named: plans.append((*args, named["is_module"])))

    def call(*arguments):
        code, _, said = gradlens("track", *arguments)
        assert code == 0, said
        return plans.pop()

    return call


def test_options_end_at_the_script(planned):
    options, target, arguments, is_module = planned("--every", 5, "train.py", "--every", "7", "-m", "--", "--out", "x")
    assert (options.every, target, is_module) == (5, "train.py", False)
    assert arguments == ["--every", "7", "-m", "--", "--out", "x"]


def test_options_end_at_the_module(planned):
    options, target, arguments, is_module = planned("--layers", "-m", "lab.train", "--epochs", 3)
    assert (options.layers, target, arguments, is_module) == (True, "lab.train", ["--epochs", "3"], True)


def test_two_dashes_end_the_options(planned):
    assert planned("--", "-odd.py", "-x")[1:3] == ("-odd.py", ["-x"])


def test_defaults(planned):
    options = planned("train.py")[0]
    assert (options.every, options.budget, options.groups, options.engine) == (None, 0.05, None, "auto")
    assert (options.layers, options.update, options.strict) == (False, None, False)


@pytest.mark.parametrize(("text", "fraction"), [("5%", 0.05), ("0.1", 0.1), ("100%", 1.0), ("2.5%", 0.025)])
def test_budget_is_read_as_percent_or_fraction(planned, text, fraction):
    assert planned("--budget", text, "train.py")[0].budget == pytest.approx(fraction)


def test_help_says_how_a_module_and_a_budget_are_written(gradlens, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    _, out, _ = gradlens("track", "--help")
    assert "gradlens track [OPTIONS] (SCRIPT | -m MODULE) [ARGS]..." in out
    assert "5% or 0.05" in " ".join(out.split())


def test_groups_of_another_run_are_taken(planned, tmp_path):
    make_run(tmp_path / "other", steps=3)
    expected = json.loads((tmp_path / "other" / "run.json").read_text())["groups"]
    options = planned("--groups-from", tmp_path / "other", "train.py")[0]
    assert ClassGroups.from_json(options.groups_from) == ClassGroups.from_json(expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.py"], "script 'missing.py' not found in"),
        (["-m", "no.such.module"], "cannot find module 'no.such.module'"),
        (["-m", "nosuchmodule"], "no module named 'nosuchmodule'"),
        (["-m", "email"], "package 'email' has no __main__ and cannot be run"),
        (
            ["torchrun", "--nproc-per-node", "2", "train.py"],
            "write: torchrun --nproc-per-node 2 -m gradlens track train.py",
        ),
        (["--groups", "head:0-3", "t.py"], "write NAME=IDS[,NAME=IDS...] where IDS are class ids and ranges"),
        (["--groups", "a=0-3,b=3", "t.py"], "class 3 is in both 'a' and 'b'"),
        (["--groups", "shotss", "t.py"], "or one of the rules head-tail, shots, frequency, per-class"),
        (["--groups", "shots", "--groups-from", "x", "t.py"], "--groups and --groups-from were both given"),
        (["--groups-from", "nowhere", "t.py"], "--groups-from nowhere: nowhere is no folder; give the folder of a run"),
        (["--every", "2", "--budget", "5%", "t.py"], "--every and --budget were both given"),
        (["--budget", "0%", "t.py"], "--budget '0%' is no fraction of training time"),
        (["--budget", "lots", "t.py"], "write it as 5% or 0.05"),
        (["--engine", "fast", "t.py"], "--engine 'fast'; choose one of auto, masked, split, func"),
        (["--labels", "label", "t.py"], "--labels 'label' is no place in a batch; write batch[1], batch.label"),
        (["--out", "a", "--name", "b", "t.py"], "--out and --name were both given"),
        (["--name", "a/b", "here.py"], "--name 'a/b' is no name of a folder"),
        (["--out", "full", "here.py"], "full exists and is not empty; a run never overwrites another"),
        (["--name", "full", "here.py"], "exists and is not empty"),
        (["--out", "here.py/run", "here.py"], "cannot write to"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_runs(gradlens, tmp_path, arguments, message):
    (tmp_path / "here.py").write_text("raise AssertionError('it ran')")
    for folder in (tmp_path / "full", tmp_path / "runs" / "full"):
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")

    code, out, said = gradlens("track", *arguments)

    assert code == 2
    assert out == ""
    assert message in said
    assert said.startswith("gradlens: error: ")
    assert len(said.splitlines()) == 1


def test_groups_from_a_folder_that_is_no_run_are_refused(gradlens, tmp_path):
    (tmp_path / "other").mkdir()
    for content in ("[]", "{}", "not json", '{"groups": {"num_classes": 2}}'):
        (tmp_path / "other" / "run.json").write_text(content)
        code, _, said = gradlens("track", "--groups-from", "other", "t.py")
        assert code == 2
        assert "--groups-from other: " in said


def test_groups_of_a_run_whose_description_was_changed_are_refused(gradlens, tmp_path):
    make_run(tmp_path / "other", steps=3)
    path = tmp_path / "other" / "run.json"
    text = path.read_text()
    changed = text.replace('"num_classes": ', '"num_classes": 1', 1)
    assert changed != text
    path.write_text(changed)
    code, _, said = gradlens("track", "--groups-from", "other", "t.py")
    assert code == 2
    assert said.splitlines() == [
        "gradlens: error: --groups-from other: run.json: it was changed or damaged since gradlens wrote it: its groups may be "
        "others; give them with --groups"
    ]


def test_the_groups_of_another_run_are_read_before_anything_that_the_script_may_import():
    imports = "sys, gradlens.tracking.options, gradlens.runlog.format.description"
    program = f"import {imports}; print({{'torch', 'pyarrow'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("option", ["--evry=3", "--every=0", "--ever=1"])
def test_unknown_and_abbreviated_options_are_refused(gradlens, option):
    code, _, said = gradlens("track", option, "t.py")
    assert code == 2
    assert option.split("=")[0] in said


def test_ls_lists_runs_and_says_why_others_are_broken(gradlens, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    make_run(tmp_path / "runs" / "good", steps=5)
    (tmp_path / "runs" / "bad").mkdir()
    (tmp_path / "runs" / "bad" / "run.json").write_text("{}")

    code, out, _ = gradlens("ls")

    assert code == 0
    assert "good" in out
    assert "bad" in out
    assert gradlens("ls", "nowhere")[0] == 2


def test_compare_prints_claims_and_differences(gradlens, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    make_run(tmp_path / "lt")
    make_run(tmp_path / "balanced", weights=(1.0, 1.0))

    code, out, _ = gradlens("compare", "lt", "balanced")

    assert code == 0
    assert "supported" in out
    code, _, said = gradlens("compare", "lt", "nowhere")
    assert code == 2
    assert "nowhere" in said


def test_report_writes_a_page(gradlens, tmp_path):
    make_run(tmp_path / "lt", steps=30)

    assert gradlens("report", "lt", "-o", "page.html")[:2] == (0, "page.html\n")
    assert (tmp_path / "page.html").read_text().lstrip().lower().startswith("<!doctype html")


def test_export_writes_a_table_named_after_the_run_and_overwrites_nothing(gradlens, tmp_path):
    make_run(tmp_path / "lt", steps=30)

    assert gradlens("export", "lt", "--to", "csv")[:2] == (0, "lt.csv\n")
    assert len((tmp_path / "lt.csv").read_text().splitlines()) == 31
    code, _, said = gradlens("export", "lt", "--to", "csv")
    assert code == 2
    assert "lt.csv already exists" in said
    assert gradlens("export", "lt", "--to", "excel")[0] == 2


def test_the_ending_of_an_export_is_its_format(gradlens, tmp_path):
    make_run(tmp_path / "lt", steps=30)

    assert gradlens("export", "lt", "--out", "x.csv")[:2] == (0, "x.csv\n")
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 31
    assert gradlens("export", "lt", "-o", "x.parquet")[0] == gradlens("export", "lt", "-o", "table")[0] == 0
    assert (tmp_path / "x.parquet").read_bytes()[:4] == (tmp_path / "table").read_bytes()[:4] == b"PAR1"
    for arguments, what in (
        (("--to", "parquet", "-o", "y.csv"), "y.csv is named as csv, and parquet was asked for"),
        (("--to", "csv", "-o", "y.parquet"), "y.parquet is named as parquet, and csv was asked for"),
        (("-o", "y.xlsx"), "y.xlsx ends in .xlsx, which is no format"),
    ):
        code, _, said = gradlens("export", "lt", *arguments)
        assert code == 2
        assert what in said
        assert not (tmp_path / arguments[-1]).exists()


def test_export_says_what_is_left_out(gradlens, tmp_path):
    make_run(tmp_path / "lt", steps=3, layers=2)
    make_run(tmp_path / "failed", steps=0, status="failed")

    assert gradlens("export", "lt", "--to", "csv")[2] == "gradlens: 2 layers are not in it; gradlens.Run reads them\n"
    assert "no measured step, so there is no row" in gradlens("export", "failed", "--to", "csv")[2]


def test_damaged_runs_are_read_as_far_as_they_go_and_say_so(gradlens, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    make_run(tmp_path / "runs" / "torn", steps=100)
    log = tmp_path / "runs" / "torn" / "measurements-000.arrows"
    log.write_bytes(log.read_bytes()[:-37])

    for command in (
        ("export", "runs/torn", "--to", "csv"),
        ("report", "runs/torn"),
        ("compare", "runs/torn", "runs/torn"),
    ):
        code, _, said = gradlens(*command)
        assert code == 0
        assert "gradlens: warning: runs/torn: measurements-000.arrows: " in said
        assert "damaged and left out" in said
    assert "bytes at the end are damage" in gradlens("ls")[1]


def test_demo_runs_the_demo(gradlens, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr("gradlens.commands.demo.run.run_demo", lambda *args: calls.append(args))

    assert gradlens("demo", "--out", tmp_path / "d", "--seed", 3)[0] == 0
    assert calls == [(tmp_path / "d", 3)]


def test_the_version(gradlens):
    code, printed, _ = gradlens("--version")
    assert code == 0
    assert printed == f"gradlens {importlib.metadata.version('gradlens-torch')}\n"
