"""The queue of Table 3: its order, its lock, and that it goes on after any cut, bit for bit and with nothing trained twice."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from gradlens.longtail.methods import find_method
from gradlens.longtail.tasks.loading import load_task
from gradlens.longtail.training.checkpoint import FILE
from gradlens.longtail.training.fit import fit
from tests.experiments.conftest import EXPERIMENTS
from tests.longtail.same_state import assert_same

EPOCHS = 60
TIME = 120  # seconds


@pytest.fixture
def wanted(load_experiment):
    return load_experiment("paper/wanted")


def until(true):
    end = time.monotonic() + TIME
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ([], ["compile=true"]),
        (["memory=20"], ["compile=true", "memory=20"]),
        (["compile=false", "memory=20"], ["compile=false", "memory=20"]),
    ],
)
def test_the_queue_compiles_unless_told_otherwise(load_experiment, given, used):
    arguments = ["--queue", "--data", "x", *(f"--set={change}" for change in given)]
    assert load_experiment("paper/table3").parse_arguments(arguments).set == used


def test_the_most_wanted_trainings_come_first(wanted):
    trainings = wanted.wanted(wanted.ORDER, wanted.IMBALANCES, wanted.SEEDS)
    names = [training.name for training in trainings]
    assert names[:3] == ["dual-phase-if100-s0", "plain-if100-s0", "ce-if100-s0"]
    assert names.index("mislas-if100-s0") < names.index("plain-steps-of-dual-phase-if100-s0")
    assert names.index("plain-steps-of-dual-phase-if100-s0") < names.index("dual-phase-if50-s0")
    assert names.index("mislas-if50-s0") < names.index("dual-phase-if200-s0") < names.index("dual-phase-if100-s1")
    own = [training for training in trainings if training.preset]
    assert len(set(names)) == len(names) == 3 * 3 * (11 + 3) + len(own)
    assert (
        names.index("ce-steps-of-crt-if100-s0") < names.index("ce-as-cifar100-lt-if100-s0") < names.index("ce-if50-s0")
    )
    # The paper's own methods have the recipe of the data set, balanced softmax one for imbalance 200, MiSLAS for 50 and 100.
    assert {(t.method, t.imbalance): t.preset for t in own if t.seed == 0 and t.method in ("bbn", "mislas", "crt")} == {
        ("bbn", 100): "cifar100-lt", ("bbn", 50): "cifar100-lt-if50", ("bbn", 200): "cifar100-lt",
        ("mislas", 100): "cifar100-lt-if100", ("mislas", 50): "cifar100-lt-if50",
        **{("crt", imbalance): "cifar100-lt-bag-of-tricks" for imbalance in (50, 100, 200)},
    }  # fmt: skip
    assert [t.imbalance for t in own if t.method == "balanced-softmax"] == [200] * 3
    assert not {t.method for t in own} & {"plain", "dual-phase"}


def test_a_row_says_its_recipe_and_whether_the_papers_number_had_it(load_experiment):
    table3 = load_experiment("paper/table3")
    row = {"last": {"test": {"overall": 40.0}}, "best": {"split": "test", "overall": 41.0}}
    found = row | {"settings": {}, "phases": [], "steps": 1, "subset": "s"}
    cells = [
        table3.cell(100, name, [0], [found], paper, preset)
        for name, paper, preset in (
            ("ce", 38.32, ""),
            ("ce, own recipe", 38.32, "cifar100-lt"),
            ("dual-phase", 44.79, ""),
        )
    ]
    lines = table3.table(cells).splitlines()
    assert [
        [*[cell.strip() for cell in line.split("|")[1:]][:2], line.split("|")[-2].strip()] for line in lines[2:5]
    ] == [
        ["100, ce", "data set's", "(38.32)"],
        ["100, ce, own recipe", "cifar100-lt", "38.32"],
        ["100, dual-phase", "data set's", "44.79"],
    ]


def test_a_row_with_its_own_recipe_trains_with_the_preset(load_experiment, wanted, tmp_path):
    one = load_experiment("paper/one_training")
    own = wanted.Wanted("mixup", 100.0, 0, preset="cifar100-lt")
    args = one.parse_arguments(
        ["mixup", "100", "0", "--twin-of=", f"--preset={own.preset}", "--epochs=2", f"--runs={tmp_path}"]
    )
    assert (args.preset, args.twin_of) == ("cifar100-lt", "")
    task = load_task("digits", imbalance=50)
    recipes = [one.recipe_of(training, task, args) for training in (own, wanted.Wanted("mixup", 100.0, 0))]
    found = [(r.preset, r.phases[0].batch, r.phases[0].sgd.weight_decay, r.phases[0].epochs) for r in recipes]
    assert found == [("cifar100-lt", 128, 2e-4, 2), ("", 32, 5e-4, 2)]


def test_what_the_queue_cannot_do_is_said_before_any_training(load_experiment, tmp_path, capsys):
    table3 = load_experiment("paper/table3")
    (tmp_path / "file").write_text("")
    for runs, results in ((tmp_path / "file" / "a", tmp_path / "b"), (tmp_path / "a", tmp_path / "file")):
        args = table3.parse_arguments(["--queue", "--runs", str(runs), "--results", str(results), "--methods", "ce"])
        with pytest.raises(
            SystemExit, match=r"cannot write into .*file.*; choose another folder with --runs and --results"
        ):
            table3.run_queue(args)
    with pytest.raises(SystemExit):
        table3.parse_arguments(["--queue", "--jobs", "0"])
    assert "--jobs 0: give at least 1" in capsys.readouterr().err


def test_a_killed_process_leaves_no_lock(load_experiment, tmp_path):
    locks = load_experiment("paper/locks")
    path = tmp_path / "folder" / "lock"
    assert not locks.is_locked(path)
    holder = (
        f"import sys, time; sys.path.insert(0, {str(EXPERIMENTS / 'paper')!r}); from pathlib import Path; import locks\n"
        f"with locks.locked(Path({str(path)!r})) as free: print(free, flush=True); time.sleep({TIME})"
    )
    with subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "True\n"
        assert locks.is_locked(path)
        with locks.locked(path) as free:
            assert not free
        process.kill()
    assert not locks.is_locked(path)


def table3(tmp_path, *arguments):
    command = [
        sys.executable,
        EXPERIMENTS / "paper" / "table3.py",
        "--queue",
        "--dataset",
        "digits",
        "--imbalances",
        "50",
    ]
    command += [
        "--seeds",
        "0",
        "--set",
        "compile=false",
        "--runs",
        tmp_path / "runs",
        "--results",
        tmp_path / "results",
    ]
    return [str(part) for part in [*command, *arguments]]


@pytest.mark.slow
def test_it_goes_on_after_any_cut(tmp_path, wanted):
    arguments = ("--methods", "ce", "--epochs", str(EPOCHS), "--jobs", "1")
    training = wanted.Wanted("ce", 50.0, 0)
    runs = tmp_path / "runs"

    def epoch():
        return wanted.progress(training, runs).get("epoch", 0)

    for number in (signal.SIGTERM, signal.SIGKILL):
        before = epoch()
        with subprocess.Popen(table3(tmp_path, *arguments)) as queue:
            until(lambda: epoch() > before)  # noqa: B023
            assert wanted.state(training, runs).kind == "running"
            if number == signal.SIGKILL:
                # Another queue on the same folder leaves the training alone.
                other = subprocess.run(table3(tmp_path, *arguments), capture_output=True, text=True, check=True)
                assert "0 of 1 are done; not: ce-if50-s0" in other.stdout
                assert wanted.state(training, runs).kind == "running"
            os.kill(queue.pid, number)
        # After TERM nothing runs any more. After kill -9 the training ends with its epoch.
        if number == signal.SIGKILL:
            until(lambda: wanted.state(training, runs).kind != "running")
        assert str(wanted.state(training, runs)) == f"epoch {epoch()} of {EPOCHS}, cut"
    done = subprocess.run(table3(tmp_path, *arguments), capture_output=True, text=True, check=True)
    assert "1 of 1 are done" in done.stdout

    task = load_task("digits", imbalance=50)
    recipe = find_method("ce").on(task, {"epochs": EPOCHS, "compile": False}, "experiment")
    fit(recipe, task, folder=tmp_path / "whole", evaluate_every=10)
    stored = [torch.load(folder / FILE, weights_only=True) for folder in (tmp_path / "whole", runs / training.name)]
    assert_same(*stored)
    epochs = [
        json.loads(line)["epoch"] for line in (runs / training.name / "log.txt").read_text().splitlines() if "{" in line
    ]
    assert epochs == list(range(1, EPOCHS + 1))  # none was trained twice to its end
    cells = json.loads((tmp_path / "results" / "summary.json").read_text())["cells"]
    assert [(cell["method"], cell["seeds"], cell["paper"]) for cell in cells] == [("ce", [0], None)]


@pytest.mark.slow
def test_a_twin_has_as_many_steps_and_what_cannot_run_is_said(tmp_path, wanted):
    arguments = ("--methods", "plain", "dual-phase", "no-such", "--epochs", "2", "--jobs", "2")
    done = subprocess.run(table3(tmp_path, *arguments), capture_output=True, text=True, check=True)
    assert "no-such: left out, there is no such method yet" in done.stdout
    runs = tmp_path / "runs"
    steps = wanted.result(wanted.Wanted("dual-phase", 50.0, 0), runs)["steps"]
    twin = wanted.result(wanted.Wanted("plain", 50.0, 0, "dual-phase"), runs)
    assert steps <= twin["steps"] < steps + 11  # an epoch has 11 steps
    assert "plain, as many steps as dual-phase" in (tmp_path / "results" / "table.md").read_text()
    listed = subprocess.run(
        [*table3(tmp_path, *arguments), "--list"], capture_output=True, text=True, check=True
    ).stdout
    assert [line.split(maxsplit=1)[1] for line in listed.splitlines()] == ["done", "done", "no such method", "done"]
