"""Curves of several quantities, computed together."""

import numpy as np
import pytest

from gradlens.metrics import gram
from gradlens.metrics import series as quantities


def test_a_group_that_a_segment_does_not_know_has_no_curve():
    packed = np.array([[1.0, 0.5, 0.0, 2.0, 0.0, 0.0]])  # a, b, rest
    keys = quantities.common(("a", "b", "c"))
    found = dict(zip(keys, quantities.curves(packed, ("a", "b", "rest"), keys), strict=True))
    assert np.isnan([found[kind, "c"][0] for kind in (gram.cosine, gram.share, gram.own_norm)]).all()
    assert np.isnan(found[(gram.conflict, "c"), "a"][0])
    assert found[gram.cosine, "a"][0] == pytest.approx(1.5 / 2)  # |a| = 1, |g|^2 = 1 + 1 + 2
    assert found[gram.share, "b"][0] == pytest.approx(2.5 / 4)
    assert found[(gram.conflict, "b"), "a"][0] == pytest.approx(0.5 / np.sqrt(2))
