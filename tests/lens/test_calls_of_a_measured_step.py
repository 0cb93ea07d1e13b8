"""A measured step: how many functions gradlens enters and calls in it. Counted, not timed, so it is always the same."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def counts() -> dict[str, int]:
    command = [sys.executable, "-m", "tests.lens.calls_of_measured_steps"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("step", "most"),
    [
        ("2 split", 1600),
        ("2 masked", 1210),
        ("2 func", 1490),
        ("10 split", 1950),
        ("10 masked", 1395),
        ("10 func", 1625),
    ],
)
def test_a_measured_step_calls_no_more_functions_than_today(counts: dict[str, int], step: str, most: int) -> None:
    assert 0 < counts[step] <= most, f"{counts[step]} calls"
