"""Loss calls are found again from the loss that is differentiated, and vanish with its graph."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens.tracking.find import loss_calls
from gradlens.tracking.find.evidence import weigh
from gradlens.tracking.find.loss_calls import LossCall, attach, find


def called(logits, labels, function=F.cross_entropy, ignore_index=-100, **options):
    """What a watched loss function does."""
    output = function(logits, labels, ignore_index=ignore_index, **options)
    attach(LossCall(logits, labels, ignore_index, "cross_entropy"), output)
    return output


@pytest.fixture
def batch():
    torch.manual_seed(0)
    model = nn.Linear(5, 3)
    return model, model(torch.randn(6, 5)), torch.tensor([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    "use",
    [
        lambda loss: loss,
        lambda loss: loss.mean(),
        lambda loss: (loss * torch.rand_like(loss)).sum() / 7 * 1024.0,
        lambda loss: torch.stack([loss.sum(), torch.zeros(())])[0],
    ],
)
@pytest.mark.parametrize("options", [{}, {"reduction": "none"}, {"label_smoothing": 0.1}, {"weight": torch.rand(3)}])
def test_a_loss_call_is_found_from_what_is_made_of_it(batch, use, options):
    _, logits, labels = batch
    found = find([use(called(logits, labels, **options))])
    assert [item.call.anchor for item in found] == [logits]


def test_loss_calls_outside_the_graph_are_not_found(batch):
    _, logits, labels = batch
    called(logits, labels)
    assert find([logits.square().sum()]) == []


def test_nothing_outlives_the_graph(batch):
    model, _, labels = batch
    logits = model(torch.randn(6, 5))
    loss = called(logits, labels)
    gone = weakref.ref(logits)
    del logits
    gc.collect()
    assert gone() is not None
    del loss
    assert gone() is None


def test_forgetting_frees_the_logits_of_a_loss_that_is_kept(batch):
    model, _, labels = batch
    logits = model(torch.randn(6, 5))
    loss = called(logits, labels)
    found = find([loss])
    loss_calls.forget(found)
    gone = weakref.ref(logits)
    del logits, found
    assert gone() is None
    assert find([loss]) == []


def test_leaves_are_the_parameters(batch):
    model, logits, labels = batch
    assert {id(leaf) for leaf in loss_calls.leaves([called(logits, labels)])} == {id(p) for p in model.parameters()}


def test_several_heads_with_the_same_labels_are_several_anchors(batch):
    _, logits, labels = batch
    other = logits * 2
    losses = called(logits, labels) + 0.4 * called(other, labels.clone())
    evidence = weigh(find([losses]), [losses], None)
    assert [id(a) for a in evidence.anchors] == [id(logits), id(other)]
    assert evidence.labels is labels
    assert evidence.left_out == 0
    assert evidence.num_classes == 3


def test_mixup_gives_class_masses_as_the_losses_are_weighted(batch):
    _, logits, a = batch
    b = a.flip(0)
    loss = (0.25 * called(logits, a) + 0.75 * called(logits, b)) * 4096.0
    evidence = weigh(find([loss]), [loss], None)
    expected = 0.25 * F.one_hot(a, 3) + 0.75 * F.one_hot(b, 3)
    assert [id(x) for x in evidence.anchors] == [id(logits)]
    assert torch.allclose(evidence.labels, expected.float(), atol=1e-6)


def test_mixup_with_a_weight_for_each_sample(batch):
    _, logits, a = batch
    b, lam = a.flip(0), torch.linspace(0, 1, 6)
    loss = (lam * called(logits, a, reduction="none") + (1 - lam) * called(logits, b, reduction="none")).mean()
    evidence = weigh(find([loss]), [loss], None)
    expected = lam[:, None] * F.one_hot(a, 3) + (1 - lam)[:, None] * F.one_hot(b, 3)
    assert torch.allclose(evidence.labels, expected, atol=1e-6)


def test_weighing_leaves_the_graph_and_the_gradients_alone(batch):
    model, logits, a = batch
    loss = 0.5 * called(logits, a) + 0.5 * called(logits, a.flip(0))
    weigh(find([loss]), [loss], None)
    assert model.weight.grad is None
    loss.backward()
    assert model.weight.grad is not None


def test_losses_over_other_labels_are_left_out_and_counted(batch):
    _, logits, labels = batch
    side = nn.Linear(5, 2)(torch.randn(6, 5))
    loss = called(side, labels % 2) + called(logits, labels)
    first = weigh(find([loss]), [loss], None)
    assert [id(x) for x in first.anchors] == [id(side)]
    assert first.left_out == 1
    known = weigh(find([loss]), [loss], 3)
    assert [id(x) for x in known.anchors] == [id(logits)]
    assert weigh([], [loss], None) is None


@pytest.mark.parametrize(("shape", "classes"), [([7], 7), ([4, 7], 7), ([4, 7, 9], 7), ([2, 7, 3, 3], 7)])
def test_class_dimension_is_where_cross_entropy_has_it(shape, classes):
    from gradlens.tracking.find.evidence import class_count

    assert class_count(LossCall(torch.zeros(shape), torch.zeros(1), -100, "")) == classes
