"""Every style of training in ``styles.py``: tracked as a user does it, it trains to the same bits and is measured exactly."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gradlens.runlog import Run
from tests.e2e import results
from tests.e2e.styles import SCRIPTS, STYLES, Style
from tests.lens.oracle import apart, same
from tests.tracking.processes import tracked

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def references(request, tmp_path_factory) -> Path:
    """Folder in which all styles of this session have run without gradlens, plainly and under the oracle."""
    names = dict.fromkeys(item.callspec.params["name"] for item in request.session.items if _is_ours(item))
    folder = tmp_path_factory.mktemp("references")
    there = [name for name in names if not STYLES[name].missing]
    command = [sys.executable, "-m", "tests.e2e.reference", str(folder), *there]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, timeout=1500)
    return folder


def _is_ours(item: Any) -> bool:
    return getattr(item, "originalname", "") == "test_style" and item.fspath == __file__


def _cases() -> list[Any]:
    return [pytest.param(s.name, id=s.name, marks=() if s.quick else pytest.mark.slow) for s in STYLES.values()]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", _cases())
def test_style(name: str, references: Path, tmp_path: Path) -> None:
    style, plain = STYLES[name], references / name / "plain"
    if style.compiles and not shutil.which("g++"):
        pytest.skip("needs a C++ compiler")
    if style.missing:
        pytest.skip(f"needs {style.needs}")
    shutil.copytree(SCRIPTS, tmp_path / "here", ignore=shutil.ignore_patterns("__pycache__"))
    found = tracked(
        tmp_path / "here", style.script, *style.arguments, options=("--every", "1", "--out", "run", *style.options)
    )
    facts = {"area": style.area, "title": style.title, "tracked": not style.instead, "instead": style.instead}
    if style.says:
        facts["says"] = style.says

    assert found.code == int((plain / "code.txt").read_text()) == 0, found.err
    assert found.out == (plain / "out.txt").read_text()
    identical = same(*(torch.load(folder / "model.pt") for folder in (tmp_path / "here", plain)))
    assert identical
    if style.instead:
        assert any(style.instead in line for line in found.said), found.said
        folder = tmp_path / "here" / "run"
        assert not folder.exists() or len(Run(folder)) == 0
        results.note(name, **facts, identical=identical, exact=None)
        return
    run = Run(tmp_path / "here" / "run")
    assert not [event for event in run.events if event["kind"] == "internal-error"], run.events
    assert any(style.says in line for line in found.said), found.said
    error = exactness(style, run, references / name / "recorded")
    assert style.source in run.groups.rule
    results.note(name, **facts, identical=identical, exact=error, steps=len(run), engine=run.meta.engine)
    assert error <= style.tolerance


def exactness(style: Style, run: Run, recorded: Path) -> float:
    """The largest error of a Gram matrix against the oracle's, in units of the vectors' norms; the rest's norm included."""
    assert (recorded / "truth.npz").exists(), (recorded / "err.txt").read_text()
    truth = np.load(recorded / "truth.npz")
    steps = [int(step) for step in truth["steps"]]
    # After the first step, or a pass over the data where labels are counted, none is left out.
    begun = int(run.steps[0])
    late = 5 if style.source.startswith("counts from the labels") else 1
    assert begun <= style.first + late, run.steps
    assert run.steps.tolist() == [step for step in steps if step >= begun and step not in style.changes]
    worst, finite = 0.0, 0
    for row, step in enumerate(run.steps):
        at = steps.index(step)
        known = truth["counts"][at] > 0
        gram = truth["grams"][at][np.ix_(known, known)]
        found = run.gram()[row, :2, :2]
        assert np.isnan(found[~known]).all()
        np.testing.assert_allclose(run.counts[row], truth["counts"][at], rtol=1e-4, atol=1e-4)
        assert run.nonfinite()[row] == (not np.isfinite(gram).all())
        if not np.isfinite(gram).all():
            assert not np.isfinite(found[np.ix_(known, known)]).any()
            continue
        finite += 1
        if row > 0 or not np.isnan(found[np.ix_(known, known)]).any() or style.name != "loop-step-in-backward":
            worst = max(worst, apart(found[np.ix_(known, known)], gram))
        rest = np.nan_to_num(run.norm("rest")[row])
        size = np.sqrt(gram.sum()) + truth["rests"][at]
        worst = max(worst, abs(rest - truth["rests"][at]) / size)
    assert style.finite * len(run) <= finite <= len(run) - (style.finite < 1)
    return worst
