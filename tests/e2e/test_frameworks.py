"""Trainings with frameworks, as their users write them: tracked and untracked, and against brute force in float64."""

from __future__ import annotations

import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from gradlens.runlog import Run
from tests.e2e import results
from tests.e2e.both import assert_equal
from tests.e2e.frameworks import FRAMEWORKS, OFFLINE, TORCHRUN
from tests.lens.oracle import apart
from tests.tracking.processes import Outcome, plain, run, tracked

SCRIPTS = Path(__file__).parent / "scripts"
BRUTE_FORCE = str(Path(__file__).parent / "brute_force.py")
OPTIONS = ("--every", "1", "--groups", "head=0-1,tail=2-3")
GROUPS = "0,1;2,3"


def folder(tmp_path: Path, name: str) -> Path:
    target = tmp_path / name
    shutil.copytree(SCRIPTS, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def start(launcher: tuple[str, ...], cwd: Path, program: tuple[str, ...], *, track: bool) -> Outcome:
    if launcher:
        return run([*launcher, *(["-m", "gradlens", "track", *OPTIONS] if track else []), *program], cwd, **OFFLINE)
    return tracked(cwd, *program, options=OPTIONS, **OFFLINE) if track else plain(cwd, *program, **OFFLINE)


def timeless(text: str) -> str:
    """Without what differs each time: durations and rates."""
    return re.sub(r"'\w*(runtime|per_second)': '[^']*'", "", text)


@pytest.mark.slow
@pytest.mark.parametrize("case", FRAMEWORKS.values(), ids=lambda case: case.title)
def test_framework(tmp_path, case):
    if case.needs and find_spec(case.needs) is None:
        pytest.skip(f"needs {case.needs}, which is not installed")
    expected = start(case.launcher, folder(tmp_path, "plain"), case.program, track=False)
    found = start(case.launcher, folder(tmp_path, "tracked"), case.program, track=True)

    assert expected.code == 0, expected.err
    assert found.code == 0, (found.err, found.said)
    assert timeless(found.out) == timeless(expected.out)
    weights, same = (torch.load(tmp_path / name / "model.pt") for name in ("plain", "tracked"))
    assert_equal(same, weights)
    facts = {
        "area": case.area,
        "title": case.title,
        "identical": True,
        "tracked": not case.instead,
        "instead": case.instead,
    }
    assert all(any(text in line for line in found.said) for text in (case.says, case.instead)), found.said
    runs = list((tmp_path / "tracked" / "runs").iterdir())
    assert len(runs) == 1
    measured = Run(runs[0])
    assert measured.status.state == "finished"
    if case.instead:
        assert len(measured) == 0
        results.note(case.name, **facts, exact=None)
        return
    assert measured.groups.names == ("head", "tail")
    # An engine that needs the forward pass begins with the second step.
    steps = [step for step in range(case.steps) if step not in case.left_out]
    assert measured.steps.tolist() in (steps, steps[1:])
    if case.tolerance is None:
        results.note(case.name, **facts, exact=None, steps=len(measured), engine=measured.meta.engine, says=case.says)
        return
    assert not np.nanmax(measured.residual, initial=0) > max(case.tolerance, 1e-6)
    # The same training, by means that the oracle can follow.
    twin = (TORCHRUN, case.same_as) if case.same_as else (case.launcher, case.program)
    error = apart_from(measured, brute_force(twin[0], folder(tmp_path, "brute"), twin[1], case.ends))
    says = {"says": case.says} if case.says else {}
    results.note(case.name, **facts, exact=error, steps=len(measured), engine=measured.meta.engine, **says)
    assert error < case.tolerance


def brute_force(launcher: tuple[str, ...], cwd: Path, program: tuple[str, ...], ends: str) -> np.ndarray:
    done = run([*(launcher or (sys.executable,)), BRUTE_FORCE, f"{ends}:{GROUPS}", *program], cwd, **OFFLINE)
    assert done.code == 0, done.err
    return torch.load(cwd / "grams.pt").numpy()


def apart_from(measured: Run, grams: np.ndarray) -> float:
    """The largest error of a Gram matrix, in units of the vectors' norms."""
    found = np.nan_to_num(measured.gram())
    # ``rest`` is a difference in the oracle, so it is known to its rounding only.
    known = [(gram[:2, :2], grams[step][:2, :2]) for step, gram in zip(measured.steps, found, strict=True)]
    assert all(grams[step][2, 2] <= 1e-9 * grams[step].max() for step in measured.steps)
    return max(apart(gram, truth) for gram, truth in known)


@pytest.mark.slow
def test_gradlens_outside_of_a_launcher_prints_the_command(tmp_path):
    done = tracked(
        folder(tmp_path, "x"), "torchrun", "--nproc-per-node", "2", "ddp.py", "--epochs", "1", options=OPTIONS
    )

    assert done.code == 2
    assert (
        "torchrun --nproc-per-node 2 -m gradlens track --every 1 --groups head=0-1,tail=2-3 ddp.py --epochs 1"
        in done.said[0]
    )
    assert not (tmp_path / "x" / "runs").exists()
