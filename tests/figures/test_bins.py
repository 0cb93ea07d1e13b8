"""Means over bins of training, by hand."""

import numpy as np

from gradlens.figures._bins import binned, edge_positions, edges_of


def test_bins_by_hand():
    edges = edges_of(np.arange(7), 3, [])
    np.testing.assert_array_equal(edges, [0, 2, 5, 7])
    np.testing.assert_allclose(binned(np.array([1, 3, 1, np.nan, 5, np.nan, np.nan]), edges), [2, 3, np.nan])
    np.testing.assert_allclose(edge_positions(np.arange(0, 70, 10), edges), [0, 20, 50, 70])
    np.testing.assert_array_equal(edges_of(np.arange(2), 100, []), [0, 1, 2])
    np.testing.assert_allclose(edge_positions(np.array([4.0]), edges_of(np.arange(1), 9, [])), [3.5, 4.5])
