"""A training of thousands of steps under `gradlens track` holds as much memory at its end as after its first thousand."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from gradlens.runlog import Run
from tests.tracking.processes import tracked

SCRIPT = Path(__file__).parent / "scripts" / "long_training.py"
STEPS = 6000
# MiB between step 1000 and any later one.
FLAT = 20


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("options", "least"), [((), 10), (("--every", "1", "--layers"), STEPS)], ids=["budget", "every"]
)
def test_memory_does_not_grow_with_steps(options: tuple[str, ...], least: int, tmp_path: Path) -> None:
    shutil.copy(SCRIPT, tmp_path)
    done = tracked(tmp_path, SCRIPT.name, str(STEPS), options=(*options, "--out", "run"), patience=1700)

    assert done.code == 0, done.err
    held = [float(line.split()[2]) for line in done.out.splitlines()]
    assert len(held) == STEPS / 1000
    assert max(held) - held[0] < FLAT, done.out
    run = Run(tmp_path / "run")
    assert len(run) >= least
    assert not [event for event in run.events if event["kind"] == "internal-error"]
