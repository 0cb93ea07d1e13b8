"""Runs to mirror, and what a tracker must hold of them: computed from the measurements, not from the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gradlens.runlog import Run, RunWriter
from tests.runlog.made import measurement, meta

ABSENT = 4


def begin(path: Path, steps, *, resume: bool = False, offset: float = 0.0) -> RunWriter:
    """Writes steps, a logged value in each, and an evaluation in the last. The tail is absent from step 4."""
    writer = RunWriter(path, meta(), resume=resume)
    for step in steps:
        writer.append(measured(step, offset))
        writer.log(step, {"val/loss": step / 8})
    writer.event("evaluation", steps[-1], split="test", overall=50.0)
    writer.flush()
    return writer


def measured(step: int, offset: float = 0.0):
    absent = ("tail",) if step == ABSENT else ()
    return measurement(step, absent=absent, at=1e9 + step + offset)


def made(path: Path, steps, **options) -> Run:
    begin(path, steps, **options).close()
    return Run(path)


def expect(found: dict[str, dict[int, float]], steps) -> None:
    """Checks the series of a tracker: name -> step -> value."""
    assert sorted(found["gradlens/head/cosine"]) == list(steps)
    assert sorted(found["gradlens/tail/cosine"]) == [step for step in steps if step != ABSENT]
    for step in steps:
        m = measured(step)
        for name in ("head", "tail"):
            if name == "head" or step != ABSENT:
                for kind in ("cosine", "share", "norm"):
                    np.testing.assert_allclose(
                        found[f"gradlens/{name}/{kind}"][step], getattr(m, kind)(name), rtol=1e-6
                    )
        np.testing.assert_allclose(found["gradlens/all/norm"][step], m.norm(), rtol=1e-6)
        assert found["gradlens/all/total_loss"][step] == step
        assert found["gradlens-logged/val/loss"][step] == step / 8
    assert found["gradlens-evaluation/test/overall"] == {steps[-1]: 50.0}
    assert not any(name.rpartition("/")[2] in ("seconds", "epoch") for name in found)
