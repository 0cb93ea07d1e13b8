"""Samples that are not drawn as the data are, and batches that are not shuffled."""

import pytest

from gradlens.diagnosis.sampling import drawn_shares, not_shuffled

LONG = (500,) * 5 + (20,) * 5  # the tail has 100 of 2,600 images


def test_a_sampler_that_evens_out_is_told(made):
    found = drawn_shares(made(data=LONG))
    assert found.number == pytest.approx(0.5, abs=0.01)
    assert "3.8% of the data set" in found.sentence
    assert "more often" in found.sentence


def test_batches_like_the_data_are_no_finding(made):
    assert drawn_shares(made()) is None
    assert drawn_shares(made(data=LONG, drawn=lambda _: (2500 / 2600, 100 / 2600))) is None
    assert drawn_shares(made(data=None, drawn=lambda _: (0.9, 0.1))) is None


def test_data_in_the_order_of_their_classes(made):
    found = not_shuffled(made(clustered=10))
    assert found.number == pytest.approx(64, rel=0.01)  # each batch of 64 has one group: 0.25 / (0.25 / 64)
    assert not_shuffled(made()) is None
