"""Runs of simulated trainings, for the rules of the diagnosis."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "experiments"))

from diagnosed.simulated import Training, simulate


@pytest.fixture
def made(tmp_path):
    """Returns a function that writes and opens the run of a simulated training, with the given changes."""
    made = []

    def make(**changes):
        made.append(None)
        return simulate(tmp_path / f"run-{len(made)}", Training().but(**changes))

    return make
