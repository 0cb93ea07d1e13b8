"""A measurement answers by name."""

from __future__ import annotations

import numpy as np
import pytest

from gradlens.metrics.measurement import Measurement
from tests.metrics.vectors import ROOT2, VECTORS


def measurement(names: tuple[str, ...], vectors: np.ndarray, counts: list[float]) -> Measurement:
    K = len(counts)
    return Measurement(
        0, 0.0, None, names, vectors @ vectors.T, None, np.array(counts), np.ones(K), np.ones(K), 0.0, 1.0, 0.0
    )


def test_a_measurement_answers_by_name() -> None:
    m = measurement(("head", "tail", "rest", "update"), np.vstack([VECTORS, [[2.0, 0.0]]]), [6, 2])
    assert m.groups == ("head", "tail")
    assert m.norm() == pytest.approx(3 * ROOT2)
    assert m.norm("tail") == 4
    assert m.norm("tail", per="mean") == 16  # 8 samples, 2 of them in the tail
    assert m.norm("rest", per="mean") == 1
    assert m.cosine("update") == pytest.approx(1 / ROOT2)
    assert m.share("tail") == pytest.approx(12 / 18)
    assert m.conflict("tail", "rest") == -1
    with pytest.raises(KeyError, match="no vector 'medium'; this measurement has head, tail, rest, update"):
        m.norm("medium")
    for name in ("head", "all"):
        with pytest.raises(ValueError, match="per='median'; choose 'contribution' or 'mean'"):
            m.norm(name, per="median")


def test_a_measurement_adds_up_its_components() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 4.0], [2.0, 0.0], [0.0, 0.0], [0.0, -1.0]])
    m = measurement(("ce/head", "ce/tail", "kd/head", "kd/tail", "rest"), vectors, [6, 2])
    assert m.groups == ("head", "tail")
    assert m.norm("head") == 3
    assert m.norm() == pytest.approx(3 * ROOT2)
    assert m.share("tail") == pytest.approx(12 / 18)


def test_a_mean_norm_of_no_samples_is_missing() -> None:
    m = measurement(("head", "tail", "rest"), VECTORS, [6, 0])
    assert np.isnan(m.norm("tail", per="mean"))


def test_a_measurement_is_shown_in_one_line():
    names = (*map(str, range(8)), "rest")
    zeros = np.zeros(8)
    shown = repr(Measurement(3, 0.0, None, names, np.zeros((9, 9)), None, np.arange(8.0), zeros, zeros, 0.0, 1.0, 0.0))
    assert shown == "Measurement(step 3; samples: 0 0, 1 1, 2 2, 3 3, 4 4, 5 5, ... 2 more)"
