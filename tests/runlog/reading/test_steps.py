"""What functions of the catalogue may ask of the measured steps of a run."""

import numpy as np
import pytest

from gradlens.metrics import gram
from gradlens.runlog.reading.steps import RecordedSteps

COLUMNS = {
    "counts": np.array([[6.0, 2.0], [4.0, 0.0]]),
    "loss": np.array([[3.0, 5.0], [1.0, np.nan]]),
    "correct": np.array([[5.0, 1.0], [4.0, 0.0]]),
    "total_loss": np.array([1.0, 0.25]),
    "residual": np.array([1e-7, 2e-7]),
}


@pytest.fixture
def asked():
    return []


@pytest.fixture
def steps(asked):
    def curve(kind, vector, function):
        asked.append((kind, vector))
        return function

    return RecordedSteps(("head", "tail"), COLUMNS.__getitem__, curve)


def test_columns_of_groups_are_found_by_name(steps):
    assert steps.samples("tail").tolist() == [2, 0]
    assert steps.loss("head").tolist() == [3, 1]
    assert steps.correct("tail").tolist() == [1, 0]
    assert steps.batch().tolist() == [8, 4]
    assert steps.total_loss().tolist() == [1, 0.25]
    assert steps.residual().tolist() == [1e-7, 2e-7]


def test_a_group_that_is_not_there_is_named(steps):
    for ask in (steps.samples, steps.loss, steps.correct):
        with pytest.raises(KeyError, match="no group 'many'; the run has head, tail"):
            ask("many")


def test_curves_are_kept_under_their_function_and_vectors(steps, asked):
    steps.against_all(gram.cosine, "head")
    steps.between(gram.conflict, "head", "tail")
    assert asked == [(gram.cosine, "head"), ((gram.conflict, "tail"), "head")]
