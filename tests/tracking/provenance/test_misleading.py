"""Programs made to mislead: their batches hold integers, and their losses take labels, but these are not the classes.

None is measured without the option that asks for it, and the counts of those that are measured are those of the classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens.tracking.launch.ending import why_nothing
from tests.tracking.in_process import finished, said
from tests.tracking.provenance.loss_modules import INPUTS, LABELS, Named, Odd, Rows, SupCon, columns, network, train

N = len(LABELS)
DOMAIN = torch.arange(N) % 3
IDS = torch.randperm(N, generator=torch.Generator().manual_seed(3))
LENGTHS = torch.randint(3, 9, (N,), generator=torch.Generator().manual_seed(4))
SUPCON, ODD = SupCon(), Odd()


class Lengths(nn.Module):
    """Takes numbers that are no labels."""

    def forward(self, features, lengths):
        return (features.sum(1) - lengths).square().mean()


class Weighted(nn.Module):
    def forward(self, features, weight):
        return (features.square().sum(1) * weight).mean()


class Rebuilds(nn.Module):
    def forward(self, features, target):
        return (features - target).square().mean()


class ByIndex(nn.Module):
    def forward(self, features, sample_ids):
        return (features.sum(1) - sample_ids / N).square().mean()


class Unnamed(nn.Module):
    """Takes its arguments without names."""

    def forward(self, *arguments):
        return SUPCON(*arguments)


class Both(nn.Module):
    """Takes two kinds of labels."""

    def forward(self, features, labels, domain_labels):
        return SUPCON(features, labels) + SUPCON(features, domain_labels)


class Words(nn.Module):
    """Embeddings with negative sampling, a loss inside the model."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Embedding(9, 4), nn.Embedding(9, 4)

    def forward(self, center, target, negatives):
        known, others = self.outer(target), self.outer(negatives)
        right = (self.inner(center) * known).sum(1)
        wrong = (self.inner(center)[:, None] * others).sum(2)
        return -F.logsigmoid(right).mean() - F.logsigmoid(-wrong).mean()


def function(features: Tensor, labels: Tensor) -> Tensor:
    """A loss that is no module, and keeps nothing of the labels' form."""
    centers = torch.stack([features[labels == c].mean(0) if (labels == c).any() else features[0] for c in range(4)])
    return (features - centers[labels.clamp(max=3)]).square().mean() - features.square().mean().log()


def teacher_of(x: Tensor) -> Tensor:
    with torch.no_grad():
        return TEACHER(x).argmax(1)


TEACHER = network()
LENGTHS_, WEIGHTED, BYINDEX, REBUILDS, UNNAMED = Lengths(), Weighted(), ByIndex(), Rebuilds(), Unnamed()
PAIRS = nn.BCEWithLogitsLoss()
last: list[Tensor] = []


def stale(model, batch):
    last.append(batch[1])
    return SUPCON(model(batch[0]), last[max(0, len(last) - 5)])


def turned(model, batch):
    """Self-supervised: the network tells how often the inputs were rolled."""
    k = torch.randint(0, 4, (len(batch[0]),))
    x = torch.stack([row.roll(int(by)) for row, by in zip(batch[0], k, strict=True)])
    return ODD(model(x), k)


def flipped(y: Tensor) -> Tensor:
    return torch.where(torch.rand(len(y)) < 0.3, torch.randint(0, 4, (len(y),)), y)


def paired(model, batch):
    z, y = model(batch[0]), batch[1]
    fake = torch.randperm(len(z))
    scores = torch.cat([(z * z.flip(0)).sum(1), (z * z[fake]).sum(1)])
    return PAIRS(scores, torch.cat([torch.ones(len(y)), torch.zeros(len(y))]))


def mixed_calls(model, batch):
    out, other = model(batch[0]), batch[1][torch.randperm(len(batch[0]))]
    return 0.7 * ODD(out, batch[1]) + 0.3 * ODD(out, other)


def adversarial(model, batch):
    """The classes are in a loss by hand, the domains in a module."""
    z = model(batch[0])
    return function(z, batch[1]) + SUPCON(z, batch[2])


def two_tasks(model, batch):
    z = model(batch[0])
    return SUPCON(z, batch[1]) + ODD(z[:, :4], batch[2])


Y = columns(LABELS)


@dataclass(frozen=True)
class Program:
    """A loss of the model and a batch, and the data."""

    loss: Callable[[nn.Module, Any], Tensor]
    dataset: Any = Y
    says: str = ""


def of_labels(make: Callable[[Tensor, Tensor], Tensor], loss: nn.Module = SUPCON, dataset: Any = Y) -> Program:
    """The loss is given what is made of inputs and labels."""
    return Program(lambda model, batch: loss(model(batch[0]), make(batch[0], batch[1])), dataset)


def column(at: int, dataset: Any, loss: nn.Module = SUPCON) -> Program:
    return Program(lambda model, batch: loss(model(batch[0]), batch[at]), dataset)


PROGRAMS = {
    "indices in the second place": column(1, columns(torch.arange(N))),
    "indices in the third place": column(2, columns(LABELS, torch.arange(N))),
    "indices of a data set that tells nothing": column(1, Rows(INPUTS, torch.arange(N))),
    "ids of samples": column(1, columns(IDS)),
    "ids of samples, far apart": column(1, Rows(INPUTS, IDS * 1000 + 7)),
    "ids of samples beside labels": column(2, columns(LABELS, IDS)),
    "positions in the batch": of_labels(lambda x, y: torch.arange(len(y))),
    "positions, rotated": of_labels(lambda x, y: torch.arange(len(y)).roll(3)),
    "positions of two views": Program(lambda m, b: SUPCON(m(b[0]).repeat(2, 1), torch.arange(len(b[0])).repeat(2))),
    "shuffled labels": of_labels(lambda x, y: y[torch.randperm(len(y))]),
    "rolled labels": of_labels(lambda x, y: y.roll(1)),
    "sorted labels": of_labels(lambda x, y: y.sort().values),
    "labels with noise": of_labels(lambda x, y: flipped(y)),
    "labels of an earlier batch": Program(stale),
    "a teacher's labels": of_labels(lambda x, y: teacher_of(x)),
    "a teacher's labels, of logits": of_labels(lambda x, y: teacher_of(x), ODD),
    "labels of the model itself": Program(lambda m, b: ODD(out := m(b[0]), out.detach().argmax(1))),
    "clusters": of_labels(lambda x, y: (x[:, 0] > x[:, 0].median()).long()),
    "the number of turns": Program(turned),
    "true and false pairs": Program(paired),
    "mixed labels": of_labels(lambda x, y: 0.7 * F.one_hot(y, 4) + 0.3 * F.one_hot(y.roll(1), 4), REBUILDS),
    "two calls with mixed labels": Program(mixed_calls),
    "lengths": column(1, columns(LENGTHS), LENGTHS_),
    "lengths beside labels": column(2, columns(LABELS, LENGTHS), LENGTHS_),
    "lengths in a dict": Program(lambda m, b: SUPCON(m(b["x"]), b["target_lengths"]), Named(x=INPUTS, target_lengths=LENGTHS)),
    "whole weights": column(1, columns(LENGTHS), WEIGHTED),
    "weights": column(1, columns(LENGTHS / 9), WEIGHTED),
    "sample ids of a memory": column(2, columns(LABELS, torch.arange(N)), BYINDEX),
    "an autoencoder": Program(lambda m, b: REBUILDS(m(b[0]), b[0][:, :4])),
    "continuous targets": Program(lambda m, b: REBUILDS(m(b[0]).sum(1), b[1]), columns(INPUTS.sum(1))),
    "ratings": Program(lambda m, b: REBUILDS(m(b[0]).sum(1), b[1]), columns(LABELS.float() + 1)),
    "negative sampling": Program(
        lambda m, b: WORDS(b[0], b[1], torch.randint(0, 9, (len(b[0]), 3))) + 0 * m(INPUTS[:2]).sum(),
        Rows(torch.arange(N) % 9, (torch.arange(N) * 5 + 1) % 9),
    ),
    "one class for all": column(1, columns(torch.zeros(N, dtype=torch.long))),
    "two columns, a loss by hand": Program(
        lambda m, b: function(m(b[0]), b[1]),
        columns(LABELS, DOMAIN),
        "if batch[1], or batch[2] holds the classes, track with --labels batch[1]",
    ),
    "one column, a loss by hand": Program(
        lambda m, b: function(m(b[0]), b[1]), says="if batch[1] holds the classes, track with --labels batch[1]"
    ),
    "labels that a loss by hand does not use": Program(lambda m, b: m(b[0]).square().mean().log().square()),
    "a module without names": Program(lambda m, b: UNNAMED(m(b[0]), b[1].flip(0))),
    "a module with two kinds of labels": Program(
        lambda m, b: BOTH(m(b[0]), b[1], b[2]), columns(LABELS, DOMAIN)
    ),
    "domains in a module, classes by hand": Program(
        adversarial, columns(LABELS, DOMAIN), "add --labels batch[2] or --labels batch[1]"
    ),
    "two losses, two columns": Program(
        two_tasks, columns(LABELS, DOMAIN), "add --labels batch[1] or --labels batch[2]"
    ),
    "a column that no data set knows, in the third place": column(2, Rows(INPUTS, LABELS, DOMAIN)),
}  # fmt: skip
BOTH, WORDS = Both(), Words()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_misleading_program_is_not_measured(start, name):
    program = PROGRAMS[name]
    last.clear()
    tracker = start(every=1, groups="head=0-1,tail=2-3")
    train(program.loss, program.dataset, network(), *([WORDS] if name == "negative sampling" else []))
    tracker.stop()
    assert tracker.faults.failure is None
    assert tracker.lens is None, said()
    assert program.says in "; ".join([*said(), why_nothing(tracker, "finished")])


def test_there_are_forty():
    assert len(PROGRAMS) >= 40


RIGHT = {
    "labels beside indices": (lambda m, b: SUPCON(m(b[0]), b[1]), columns(LABELS, torch.arange(N)), 1),
    "labels after indices": (lambda m, b: SUPCON(m(b[0]), b[2]), columns(torch.arange(N), LABELS), 2),
    "labels of a dict": (lambda m, b: SUPCON(m(b["x"]), b["label"]), Named(x=INPUTS, size=LENGTHS, label=LABELS), "label"),
    "labels that the data set turns": (lambda m, b: SUPCON(m(b[0]), b[1]), Rows(INPUTS, 3 - LABELS), 1),
    "labels in two views": (lambda m, b: SUPCON(m(b[0].repeat(2, 1)), b[1].repeat(2)), Y, 1),
    "one-hot labels": (lambda m, b: REBUILDS(m(b[0]), F.one_hot(b[1], 4).float()), Y, 1),
    "domains as the loss's labels, nothing beside": (lambda m, b: SUPCON(m(b[0]), b[2]), columns(LABELS, DOMAIN), 2),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_labels_among_other_numbers_are_found(start, tmp_path, name):
    loss, dataset, at = RIGHT[name]
    tracker = start(every=1, groups="head=0-1,tail=2-3")
    trained = train(loss, dataset, network())
    assert tracker.lens is not None, said()
    run = finished(tracker, tmp_path)
    views = 2 if "views" in name else 1
    expected = [
        [views * float((batch[at] < 2).sum()), views * float((batch[at] > 1).sum())] for _, batch in trained.steps
    ]
    assert run.counts.tolist() == [expected[step] for step in run.steps.tolist()]


@pytest.mark.parametrize(
    "name", ["shuffled labels", "a teacher's labels", "one column, a loss by hand", "lengths beside labels"]
)
def test_the_option_has_them_measured_by_the_labels_of_the_batch(start, tmp_path, name):
    program = PROGRAMS[name]
    tracker = start(every=1, groups="head=0-1,tail=2-3", labels="batch[1]")
    trained = train(program.loss, program.dataset, network())
    assert tracker.lens is not None, said()
    assert "from batch[1] (--labels)" in said()[0]
    run = finished(tracker, tmp_path)
    assert len(run) >= 6
    for step, counts in zip(run.steps, run.counts, strict=True):
        y = trained.steps[int(step)][1][1]
        assert counts.tolist() == [float((y < 2).sum()), float((y > 1).sum())]
