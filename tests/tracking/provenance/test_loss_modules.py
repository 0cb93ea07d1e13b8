"""Calls of modules that take labels are seen, with the tensors that they were given."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gradlens.tracking.provenance.loss_modules import LossModules, is_label_name, label_parameter, modules_with_labels
from tests.tracking.provenance.loss_modules import Odd, SupCon

X, Y = torch.randn(4, 3, requires_grad=True), torch.tensor([0, 1, 1, 0])


class Weighted(nn.Module):
    def forward(self, features, labels, *, weight=None):
        return {"loss": (features.sum(1) * labels).mean(), "each": [features.sum(1)]}


@pytest.mark.parametrize(
    "name", ["y", "labels", "target_", "y_true", "gt", "class_labels", "levels", "y_train", "true_y"]
)
def test_names_of_labels(name):
    assert is_label_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "x",
        "input",
        "target_lengths",
        "label_weights",
        "target_mask",
        "ref_labels",
        "num_classes",
        "sample_ids",
        "y_pred",
    ],
)
def test_names_of_other_things(name):
    assert not is_label_name(name)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (nn.AdaptiveLogSoftmaxWithLoss, "target_"),
        (nn.BCEWithLogitsLoss, "target"),
        (SupCon, "labels"),
        (nn.Linear, None),
        (nn.MultiheadAttention, None),
        (nn.CosineEmbeddingLoss, "target"),
    ],
)
def test_the_parameter_of_a_class_of_modules(kind, name):
    assert label_parameter(kind) == name


def test_calls_are_read_by_the_names_of_their_arguments():
    module, failures = Weighted(), []
    watch = LossModules([module], lambda: True, failures.append)
    out = module(labels=Y, features=X, weight=torch.ones(4))
    with torch.no_grad():
        module(X, Y)
    module(X.detach(), Y)
    (call,) = watch.take()
    assert call.module is module
    assert call.target is Y
    assert [each is X for each in call.arguments] == [True]
    assert [each is known for each, known in zip(call.results, (out["loss"], out["each"][0]), strict=True)] == [
        True,
        True,
    ]
    assert watch.take() == []
    watch.stop()
    assert not module._forward_hooks
    watch.resume()
    assert len(module._forward_hooks) == 1
    watch.stop()
    assert failures == []


def test_modules_in_memory_are_found_but_not_inside_compiled_ones():
    loss, inside = SupCon(), Odd()
    compiled = torch.compile(nn.Sequential(inside), backend="eager")
    found = modules_with_labels()
    assert any(each is loss for each in found)
    assert not any(each is inside for each in found)
    assert compiled is not None
