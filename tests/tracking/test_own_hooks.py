"""`gradlens track` of trainings whose hooks, functions or libraries allow the script's own backward passes only."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradlens import Run
from tests.tracking.processes import plain, tracked

SCRIPT = str(Path(__file__).parents[1] / "e2e" / "scripts" / "own_hooks.py")
MEASURED = ["pop", "lr", "retained", "selective", "chunked", "chunked_observed", "backpack"]
REFUSED = {
    "generator": "Rounded gives another gradient each time",
    "opacus": "Opacus clips the gradient of each sample",
}
SLOW = {"retained", "chunked_observed", "lr", "selective"}
CASES = [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in [*MEASURED, *REFUSED]]


@pytest.mark.parametrize("name", CASES)
def test_the_training_is_that_of_python(name: str, tmp_path: Path) -> None:
    expected = plain(tmp_path, SCRIPT, name)
    options = ("--every", "1", "--groups", "head=0-1,tail=2-3", "--out", "run")
    found = tracked(tmp_path, SCRIPT, name, options=options)
    assert expected.code == 0, expected.err
    assert found.code == 0
    assert found.out == expected.out
    assert found.err.startswith(expected.err)  # the table at the end follows
    run = Run(tmp_path / "run")
    if name in MEASURED:
        assert len(run.steps) >= 5
        assert run.residual.max() < 1e-5
        assert not any("measuring stops" in line or "is not measured" in line for line in found.said)
    else:
        assert len(run.steps) == 0
        assert sum(REFUSED[name] in line and "training is untouched" in line for line in found.said) == 1
