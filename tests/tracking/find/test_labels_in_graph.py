"""Labels of losses that are written by hand, found in the graph; and targets that are none."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens.tracking.find.labels_in_graph import find_labels

LABELS = torch.tensor([0, 2, 1, 2, 0])
ONE_HOT = F.one_hot(LABELS, 3)
MIXED = 0.7 * ONE_HOT.double() + 0.3 * ONE_HOT.roll(1, 0)
ROWS = torch.arange(5)


def logits(classes: int = 3) -> Tensor:
    torch.manual_seed(0)
    return nn.Linear(4, classes).double()(torch.randn(5, 4, dtype=torch.float64))


LOSSES = {
    "gather": lambda z: -z.log_softmax(1).gather(1, LABELS[:, None]).mean(),
    "indexing": lambda z: -z.log_softmax(1)[ROWS, LABELS].mean(),
    "negative log-likelihood": lambda z: F.nll_loss(z.log_softmax(1), LABELS),
    "one-hot": lambda z: -(ONE_HOT * z.log_softmax(1)).sum(1).mean(),
    "squares": lambda z: F.mse_loss(z.softmax(1), ONE_HOT.double()),
    "one against all": lambda z: F.binary_cross_entropy_with_logits(z, ONE_HOT.double()),
    "margin": lambda z: F.multi_margin_loss(z, LABELS),
    "focal": lambda z: ((1 - z.softmax(1)[ROWS, LABELS]) ** 2 * F.nll_loss(z.log_softmax(1), LABELS)).mean(),
}


@pytest.mark.parametrize("name", LOSSES)
def test_class_ids_are_found(name):
    outputs = logits()
    found = find_labels([LOSSES[name](outputs)], [outputs])
    assert found is not None
    assert found[0] is outputs
    ids = found[1].argmax(1) if found[1].is_floating_point() else found[1]
    assert torch.equal(ids, LABELS)
    if found[1].is_floating_point():
        assert torch.equal(found[1], ONE_HOT.to(found[1]))


def test_masses_of_mixed_labels_are_found():
    outputs = logits()
    found = find_labels([-(MIXED * outputs.log_softmax(1)).sum(1).mean()], [outputs])
    assert found is not None
    torch.testing.assert_close(found[1], MIXED)


def test_of_several_outputs_the_one_with_the_labels_is_taken():
    features, outputs = logits(7), logits()
    loss = LOSSES["gather"](outputs) + features.square().mean()
    found = find_labels([loss], [features, outputs])
    assert found is not None
    assert found[0] is outputs


def test_two_sets_of_labels_are_not_certain():
    outputs = logits()
    other = outputs.log_softmax(1)[ROWS, (LABELS + 1) % 3].mean()
    assert find_labels([LOSSES["indexing"](outputs) + other], [outputs]) is None


def test_what_the_model_was_given_is_no_label():
    outputs, said = logits(), []
    assert find_labels([F.mse_loss(outputs, MIXED)], [outputs], [MIXED.reshape(-1)], said.append) is None
    assert said == ["are what the model was given"]


def test_the_outputs_of_a_teacher_are_no_labels():
    said: list[str] = []
    outputs, teacher = (nn.Linear(4, 3)(torch.randn(40, 4)) for _ in range(2))
    assert find_labels([F.mse_loss(outputs, teacher.detach().softmax(1))], [outputs], (), said.append) is None
    assert len(said) == 1
    assert "vary continuously" in said[0]


def test_a_loss_without_labels_has_none():
    outputs = logits()
    assert find_labels([outputs.logsumexp(1).mean()], [outputs]) is None
    assert find_labels([outputs.sum()], [outputs.sum(1)]) is None


@pytest.mark.parametrize("classes", [4, 5, 6])
def test_a_matrix_of_pairs_is_no_one_hot_matrix(classes):
    """In a small batch each sample may have one partner: its position was read as a class id."""
    outputs = logits(classes)
    pairs = torch.zeros(5, 5)
    for one, other in ((0, 3), (1, 2)):
        pairs[one, other] = pairs[other, one] = 1
    similar = F.normalize(outputs, dim=1) @ F.normalize(outputs, dim=1).T
    assert find_labels([-(pairs * similar.log_softmax(1)).sum()], [outputs]) is None
