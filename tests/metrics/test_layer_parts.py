"""Parts of layers: inner products of whole layers, and the residual over the checked parameters."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradlens.metrics.layer_parts import layer_parts

# Three parameters of layer 0 and one of layer 2; layer 1 has none that trains. The second and the last are checked.
PARTS = layer_parts((0, 0, 0, 2), 3, (1, 3), (1, 3))


def products(vectors):
    """Inner products of vectors [W, 4], one entry for each parameter, in each part."""
    members = [[i for i, part in enumerate(PARTS.part_of) if part == q] for q in range(len(PARTS.layers))]
    with np.errstate(invalid="ignore"):
        return np.stack([vectors[:, of] @ vectors[:, of].T for of in members])


def test_a_layer_is_the_sum_of_its_parts():
    vectors = np.random.default_rng(0).normal(size=(3, 4))
    found = PARTS.by_layer(products(vectors))
    for layer, members in enumerate(([0, 1, 2], [], [3])):
        np.testing.assert_allclose(found[layer], vectors[:, members] @ vectors[:, members].T, atol=1e-14)


def test_layers_that_are_not_divided_stay_as_they_are():
    parts = layer_parts((0, 1, 1), 2, (1, 2), (1, 2))
    given = np.arange(8.0).reshape(2, 2, 2)
    assert parts.by_layer(given) is given
    assert parts.checked == (1,)


def test_the_residual_is_over_the_checked_parameters_only():
    check, other, total = [9, 1.0, 9, 2.0], [0, 0.5, 0, 1.0], [0, 2.0, 0, 3.5]
    found = PARTS.residual(products(np.array([check, other, total])), np.array([-1.0, -1.0, 1.0]))
    assert found == pytest.approx(math.hypot(0.5, 0.5) / math.hypot(2, 3.5))


def test_a_vector_that_does_not_count_may_be_anything():
    vectors = np.array([[0, 1.0, 0, 0], [0, math.nan, 0, math.inf], [0, 2.0, 0, 0]])
    assert PARTS.residual(products(vectors), np.array([-1.0, 0.0, 1.0])) == 0.5
    assert math.isnan(PARTS.residual(products(vectors), np.array([-1.0, -1.0, 1.0])))


def test_nothing_beside_nothing_has_no_residual():
    vectors = np.zeros((2, 4))
    assert math.isnan(PARTS.residual(products(vectors), np.array([-1.0, 1.0])))
    vectors[0] = 1
    assert PARTS.residual(products(vectors), np.array([-1.0, 1.0])) == math.inf
    assert math.isnan(layer_parts((0,), 1, (), ()).residual(np.ones((1, 2, 2)), np.array([-1.0, 1.0])))


def test_infinite_vectors_are_quiet():
    products = np.array([[[math.inf, -math.inf], [-math.inf, math.inf]], [[1.0, math.inf], [math.inf, -math.inf]]])
    parts = layer_parts((0, 0), 1, (1,), (1,))
    assert np.isnan(parts.by_layer(products)[0, 1, 1])
    assert math.isnan(layer_parts((0, 1), 2, (0, 1), (0, 1)).residual(products, np.array([-1.0, 1.0])))


def test_the_parts_do_not_depend_on_what_is_checked():
    all_four = layer_parts((0, 0, 0, 2), 3, (1, 3), (0, 1, 2, 3))
    assert (all_four.part_of, all_four.layers) == (PARTS.part_of, PARTS.layers)
    vectors = np.array([[1.0, 2, 3, 4], [2.0, 2, 3, 4], [0.0, 0, 0, 8]])
    assert all_four.residual(products(vectors[1:]), np.array([-1.0, 1.0])) == pytest.approx(
        math.sqrt(4 + 4 + 9 + 16) / 8
    )
    none = layer_parts((0, 0, 0, 2), 3, (1, 3), ())
    assert none.part_of == PARTS.part_of
    assert not none.checked
