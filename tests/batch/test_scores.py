"""Loss and hits of each group from the logits, against loops over rows."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gradlens import ClassGroups
from gradlens.batch.rows import group_rows
from gradlens.batch.scores import group_scores

GROUPS = ClassGroups({"a": [0, 2], "b": [1]}, 4)


def scores(logits: list[Tensor], labels: Tensor) -> list[list[float]]:
    return group_scores(logits, labels, group_rows(labels, GROUPS, logits[0]), GROUPS).tolist()


def looped(logits: Tensor, labels: list[int]) -> list[list[float]]:
    """logits [N, 4]; labels as a list: one row after another."""
    loss, correct = [0.0, 0.0], [0.0, 0.0]
    for z, label in zip(logits.double().tolist(), labels, strict=True):
        for k, ids in enumerate(GROUPS.classes):
            if label in ids:
                loss[k] += math.log(sum(math.exp(v) for v in z)) - z[label]
                correct[k] += z[label] == max(z)
    return [loss, correct]


def test_class_ids() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(40, 4), torch.randint(4, (40,))
    labels[:5] = -100
    for found, expected in zip(scores([logits], labels), looped(logits, labels.tolist()), strict=True):
        assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("second", [False, True])
def test_tokens_in_either_layout(second: bool) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(3, 5, 4), torch.randint(4, (3, 5))
    given = logits.movedim(-1, 1) if second else logits
    expected = looped(logits.flatten(0, 1), labels.flatten().tolist())
    for found, row in zip(scores([given], labels), expected, strict=True):
        assert found == pytest.approx(row, rel=1e-6)


def test_soft_labels() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(9, 4), 2 * torch.rand(9, 4)
    labels[0] = torch.tensor([0.0, 1, 0, 0])
    logits[0, 0] = -float("inf")  # impossible, and not wanted: costs nothing
    loss, correct = scores([logits], labels)
    log_p, guess = F.log_softmax(logits, 1), logits.argmax(1)
    for k, ids in enumerate(GROUPS.classes):
        columns = list(ids)
        terms = torch.where(labels == 0, 0.0, labels * log_p)[:, columns]
        assert loss[k] == pytest.approx(-terms.sum().item(), rel=1e-5)
        mass = sum(float(labels[i, columns].sum()) for i in range(9) if guess[i] == labels[i].argmax())
        assert correct[k] == pytest.approx(mass, rel=1e-5)


def test_soft_labels_of_pixels_are_those_of_rows() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 4, 3, 5), torch.rand(2, 4, 3, 5)
    flat = [tensor.movedim(1, -1).reshape(-1, 4) for tensor in (logits, labels)]
    for found, expected in zip(scores([logits], labels), scores([flat[0]], flat[1]), strict=True):
        assert found == pytest.approx(expected, rel=1e-6)


def test_the_first_anchor_that_holds_logits_counts() -> None:
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    assert scores([torch.randn(6, 9), logits], labels) == scores([logits], labels)
    assert all(math.isnan(value) for row in scores([torch.randn(6, 9)], labels) for value in row)


def test_a_row_that_is_not_finite_stays_in_its_group() -> None:
    logits, labels = torch.randn(4, 4), torch.tensor([0, 1, 2, 3])
    logits[1] = float("nan")
    logits[3] = float("inf")  # of no group
    loss, correct = scores([logits], labels)
    assert math.isfinite(loss[0])
    assert math.isnan(loss[1])
    assert correct[1] == 0


def test_a_classifier_that_does_not_know_the_last_classes_yet() -> None:
    torch.manual_seed(0)
    narrow, labels = torch.randn(30, 3), torch.randint(3, (30,))
    features = torch.randn(30, 2)
    rows = group_rows(labels, GROUPS, features)
    found = group_scores([features], labels, rows, GROUPS, narrow).tolist()
    # Of a softmax over three classes, by hand.
    log_p = narrow.double().log_softmax(1)
    for k, ids in enumerate(GROUPS.classes):
        own = [i for i, label in enumerate(labels.tolist()) if label in ids]
        assert found[0][k] == pytest.approx(-sum(float(log_p[i, labels[i]]) for i in own), rel=1e-6)
        assert found[1][k] == sum(int(narrow[i].argmax()) == int(labels[i]) for i in own)
    assert all(math.isnan(value) for value in group_scores([features], labels, rows, GROUPS).flatten().tolist())


@pytest.mark.parametrize("layout", ["rows", "tokens", "classes second", "masses"])
def test_pieces_of_a_large_vocabulary_are_the_whole(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 5, 4), torch.randint(4, (6, 5))
    if layout == "rows":
        logits, labels = logits.flatten(0, 1), labels.flatten()
    elif layout == "classes second":
        logits = logits.movedim(-1, 1).contiguous()
    elif layout == "masses":
        logits, labels = logits.flatten(0, 1), F.one_hot(labels.flatten(), 4).float()
    whole = scores([logits], labels)
    monkeypatch.setattr("gradlens.batch.scores.PIECE", 24)
    for found, expected in zip(scores([logits], labels), whole, strict=True):
        assert found == pytest.approx(expected, rel=1e-12)
