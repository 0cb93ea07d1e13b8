"""The quantities people look at, against vectors that are written out, and against arithmetic by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gradlens.metrics import gram as g
from tests.metrics.vectors import ROOT2, VECTORS

GRAM = VECTORS @ VECTORS.T


def test_worked_by_hand() -> None:
    assert g.norm(GRAM, 0) == 3
    assert g.overall_norm(GRAM, 3) == pytest.approx(3 * ROOT2)
    assert g.dot_overall(GRAM, 1, 3) == 12
    assert g.cosine(GRAM, 0, 3) == pytest.approx(1 / ROOT2)
    assert g.cosine(GRAM, 2, 3) == pytest.approx(-1 / ROOT2)
    assert g.conflict(GRAM, 1, 2) == -1
    assert g.conflict(GRAM, 0, 1) == 0
    assert [float(g.share(GRAM, v, 3)) for v in range(3)] == pytest.approx([9 / 18, 12 / 18, -3 / 18])


def test_over_time_with_absent_groups() -> None:
    absent = GRAM.copy()
    absent[1, :] = absent[:, 1] = np.nan
    both = np.stack([GRAM, absent])
    np.testing.assert_allclose(g.overall_norm(both, 3), [3 * ROOT2, 10**0.5])  # (3, -1)
    np.testing.assert_allclose(g.share(both, 0, 3), [0.5, 0.9])
    assert np.isnan(g.share(both, 1, 3)[1])
    assert np.isnan(g.cosine(both, 1, 3)[1])
    assert np.isnan(g.conflict(both, 0, 1)[1])
    nothing = np.full((3, 3), np.nan)
    assert np.isnan(g.overall_norm(nothing, 3))
    assert np.isnan(g.cosine(np.zeros((3, 3)), 0, 3))


def test_an_update_is_no_part_of_the_gradient() -> None:
    vectors = np.vstack([VECTORS, [[10.0, 0.0]]])
    gram = vectors @ vectors.T
    assert g.overall_norm(gram, 3) == pytest.approx(3 * ROOT2)
    assert g.cosine(gram, 3, 3) == pytest.approx(1 / ROOT2)
    assert g.conflict(gram, 3, 1) == 0


def test_components_add_up_to_groups() -> None:
    names = ("ce/head", "ce/tail", "kd/head", "kd/tail", "rest", "update")
    vectors = np.random.default_rng(0).normal(size=(6, 9))
    selection = g.group_selection(names)
    assert selection.tolist() == [[1, 0, 1, 0, 0, 0], [0, 1, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1]]
    coarse = np.stack([vectors[0] + vectors[2], vectors[1] + vectors[3], vectors[4], vectors[5]])
    gram = vectors @ vectors.T
    np.testing.assert_allclose(g.aggregate(gram, selection), coarse @ coarse.T)
    gram[2, :] = gram[:, 2] = np.nan  # one term is absent: the other is the group
    coarse[0] = vectors[0]
    np.testing.assert_allclose(g.aggregate(gram, selection), coarse @ coarse.T)
    gram[0, :] = gram[:, 0] = np.nan  # both are: so is the group
    found = g.aggregate(gram, selection)
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1:, 1:], (coarse @ coarse.T)[1:, 1:])


def test_distortion() -> None:
    assert g.share_distance([0.7, 0.3], [0.7, 0.3]) == 0
    assert g.share_distance([1.0, 0.0], [0.5, 0.5]) == 0.5
    assert g.share_distance([1.0, np.nan], [0.5, 0.5]) == 0.5  # an absent group steered nothing
    assert np.isnan(g.share_distance([np.nan, np.nan], [0.5, 0.5]))
    np.testing.assert_allclose(g.share_distance([[0.7, 0.3], [1.5, -0.5]], [0.7, 0.3]), [0, 0.8])


def test_coefficient_of_variation() -> None:
    values = np.array([1.0, 3.0, np.nan, 5.0, 5.0])
    assert g.coefficient_of_variation(values) == pytest.approx(np.array([1, 3, 5, 5]).std() / 3.5)
    assert np.isnan(g.coefficient_of_variation([2.0]))
    running = g.coefficient_of_variation(values, window=3)
    expected = [np.nan, 0.5, 0.5, 0.25, 0.0]
    np.testing.assert_allclose(running, expected, atol=1e-12)
    # A small spread on a large mean is not lost to cancellation.
    large = 1e6 + np.array([0.0, 1.0, 0.0, 1.0])
    np.testing.assert_allclose(g.coefficient_of_variation(large, window=2)[1:], 0.5 / (1e6 + 0.5), rtol=1e-6)
    with pytest.raises(ValueError, match="window=1"):
        g.coefficient_of_variation(values, window=1)
