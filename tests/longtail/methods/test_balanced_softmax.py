"""Balanced softmax: by hand, as logit adjustment at tau 1, with a class without images, and what it does to a training."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch

from gradlens.longtail.methods import find_method
from tests.longtail.tiny_training import tiny_task


def loss_of(method, task):
    return find_method(method).on(task, {"sampler": "shuffled"}).phases[0].losses["classification"]


def with_settings(task, of):
    return dataclasses.replace(task, settings=of.settings)


def test_the_loss_of_one_sample_worked_out_by_hand(task):
    """Three classes with 6, 3 and 2 images: -log of n_y exp(z_y) over the sum of the same."""
    tiny = with_settings(tiny_task((6, 3, 2)), task)
    z = [0.3, -1.2, 2.0]
    terms = [n * math.exp(score) for n, score in zip((6, 3, 2), z, strict=True)]
    step = SimpleNamespace(logits=torch.tensor([z], dtype=torch.float64), labels=torch.tensor([2]))
    assert float(loss_of("balanced-softmax", tiny)(step)) == pytest.approx(-math.log(terms[2] / sum(terms)), rel=1e-12)


def test_it_is_logit_adjustment_at_tau_one(task):
    logits = torch.randn(8, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    step = SimpleNamespace(logits=logits, labels=torch.arange(8))
    balanced, adjusted = (loss_of(name, task) for name in ("balanced-softmax", "logit-adjustment"))
    shift = balanced.offsets - adjusted.offsets
    assert shift.tolist() == pytest.approx([math.log(342)] * 10)  # the digits' training images
    ours, theirs = (torch.autograd.grad(loss(step), logits)[0] for loss in (balanced, adjusted))
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-10)


def test_a_class_without_images_has_no_part_in_the_sum(task):
    tiny = tiny_task((6, 3, 2))
    kept = torch.arange(9)  # no image of the last class
    train = SimpleNamespace(labels=tiny.train.labels[kept])
    loss = loss_of("balanced-softmax", dataclasses.replace(with_settings(tiny, task), train=train))
    logits = torch.tensor([[0.3, -1.2, 5.0]], requires_grad=True)
    value = loss(SimpleNamespace(logits=logits, labels=torch.tensor([1])))
    value.backward()
    share = 6 * math.exp(0.3) / (6 * math.exp(0.3) + 3 * math.exp(-1.2))
    assert value.item() == pytest.approx(-math.log(1 - share), rel=1e-6)
    assert logits.grad[0].tolist() == pytest.approx([share, -share, 0.0], rel=1e-6)
