"""Packed Grams against vectors that are written out."""

import numpy as np

from gradlens.metrics import packed
from gradlens.metrics.gram import group_selection

NAMES = ("ce/head", "ce/tail", "kd/head", "rest", "update")
VECTORS = np.random.default_rng(0).standard_normal((5, 7))
ROW = (VECTORS @ VECTORS.T)[np.triu_indices(5)]


def test_which_names_there_are():
    assert packed.components(NAMES) == ("ce", "kd")
    assert packed.components(("head", "tail", "rest")) == ()
    assert packed.grouped(NAMES) == ("head", "tail", "rest", "update")
    assert packed.known(NAMES, ("head", "tail")) == ("head", "tail", *NAMES, "ce", "kd")


def test_which_vectors_add_up_to_a_name():
    for name, wanted in {
        "all": [1, 1, 1, 1, 0], "head": [1, 0, 1, 0, 0], "ce": [1, 1, 0, 0, 0], "kd/head": [0, 0, 1, 0, 0],
        "rest": [0, 0, 0, 1, 0], "update": [0, 0, 0, 0, 1],
    }.items():  # fmt: skip
        assert packed.selection(NAMES, name).tolist() == wanted, name
    S, parts = packed.selection_against_all(NAMES, "head")
    assert (S.tolist(), parts) == ([[0, 1, 0, 1, 0], [1, 0, 1, 0, 0]], 2)
    S, parts = packed.selection_against_all(NAMES, "update")
    assert (S.tolist(), parts) == ([[1, 1, 1, 1, 0], [0, 0, 0, 0, 1]], 1)


def test_unpacking_gives_the_symmetric_matrix():
    np.testing.assert_array_equal(packed.unpack(np.array([1.0, 2, 3, 4, 5, 6]), 3), [[1, 2, 3], [2, 4, 5], [3, 5, 6]])
    np.testing.assert_allclose(packed.unpack(ROW, 5), VECTORS @ VECTORS.T)


def test_weights_give_the_inner_product_of_two_sums():
    a, b = np.array([1.0, 0, 1, 1, 0]), np.array([0.0, 1, 1, 0, 1])
    np.testing.assert_allclose(ROW @ packed.product(a, b), (a @ VECTORS) @ (b @ VECTORS))


def test_the_gram_of_sums_is_that_of_added_vectors():
    S = group_selection(NAMES)
    summed = S @ VECTORS
    np.testing.assert_allclose(packed.coarse(ROW[None], S), (summed @ summed.T)[None])


def test_an_absent_vector_adds_nothing_and_one_that_is_not_finite_spoils_its_sum():
    def row(value, *gone):
        gram = VECTORS @ VECTORS.T
        for v in gone:
            gram[v] = gram[:, v] = value
        return gram[np.triu_indices(5)]

    S = group_selection(NAMES)  # head, tail, rest, update
    one, none, infinite = packed.coarse(np.stack([row(np.nan, 0), row(np.nan, 0, 2), row(np.inf, 2)]), S)
    np.testing.assert_allclose(one[0, 0], VECTORS[2] @ VECTORS[2])  # of the head only "kd" is left
    assert np.isnan(none[0]).all()
    np.testing.assert_allclose(none[1:, 1:], one[1:, 1:])
    assert np.isinf(infinite[0]).all()
    assert np.isfinite(infinite[1:, 1:]).all()


def test_a_group_with_samples_is_not_absent_but_not_finite():
    nan = np.nan
    rows = np.array([[1, nan, nan], [1, nan, nan], [1.0, 0, 4]])  # of (a, b): b is silent in the first two steps
    counts = np.array([[3.0, 2.0], [5.0, 0.0], [3.0, 2.0]])
    found = packed.nonfinite_as_inf(rows, ("a", "b"), ("a", "b"), counts)
    np.testing.assert_array_equal(found, [[1, np.inf, np.inf], [1, nan, nan], [1, 0, 4]])
