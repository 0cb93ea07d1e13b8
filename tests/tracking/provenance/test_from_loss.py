"""Labels that a loss module was given are measured exactly, in the first steps and later, or not at all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from gradlens.tracking.launch.ending import why_nothing
from tests.tracking.in_process import finished, said
from tests.tracking.provenance.loss_modules import LABELS, Odd, SupCon, columns, grams, network, train

GROUPS = "head=0-1,tail=2-3"
SUPCON, ODD = SupCon(), Odd()
Y = columns(LABELS)


class Inner(nn.Module):
    """A loss that is a part of another one."""

    def __init__(self) -> None:
        super().__init__()
        self.part = SupCon()

    def forward(self, features, y_true):
        return self.part(features * 2, y_true)


INNER = Inner()
LOSSES = {
    "embeddings": lambda z, y: SUPCON(z, y),
    "logits": lambda z, y: ODD(z, y),
    "two losses": lambda z, y: ODD(z, y) + 0.3 * SUPCON(z, y),
    "chunks": lambda z, y: ODD(z[: len(z) // 2], y[: len(z) // 2]) + ODD(z[len(z) // 2 :], y[len(z) // 2 :]),
    "a loss in a loss": lambda z, y: INNER(z, y),
}


@pytest.mark.parametrize("name", LOSSES)
def test_contributions_are_those_of_the_rows(start, tmp_path, name):
    loss = LOSSES[name]
    tracker = start(every=1, groups=GROUPS)
    trained = train(lambda model, batch: loss(model(batch[0]), batch[1]), Y, network())
    assert "from batch[1] (TensorDataset.tensors[1])" in said()[0]
    run = finished(tracker, tmp_path)
    truth = grams(trained, loss, [(0, 1), (2, 3)])
    assert len(run) >= 6
    for step, gram in zip(run.steps, run.gram(), strict=True):
        np.testing.assert_allclose(gram[:2, :2], truth[int(step)].numpy(), rtol=1e-4, atol=1e-7)


def test_hits_are_counted_from_logits_and_not_from_embeddings(start, tmp_path):
    tracker = start(every=1, groups=GROUPS)
    trained = train(lambda model, batch: ODD(model(batch[0]), batch[1]), Y, network())
    run = finished(tracker, tmp_path)
    for step, correct in zip(run.steps, run.correct, strict=True):
        model, (x, y) = trained.steps[int(step)]
        hit = model(x.double()).argmax(1) == y
        assert correct.tolist() == [float(hit[y < 2].sum()), float(hit[y > 1].sum())]


def test_embeddings_as_wide_as_there_are_classes_have_no_hits(start, tmp_path):
    tracker = start(every=1, groups=GROUPS)
    train(lambda model, batch: SUPCON(model(batch[0]), batch[1]), Y, network())
    assert np.isnan(finished(tracker, tmp_path).correct).all()


def test_other_labels_later_are_not_measured_and_said_once(start, tmp_path):
    tracker = start(every=1, groups=GROUPS)
    seen = []

    def loss(model, batch):
        seen.append(1)
        y = batch[1] if len(seen) < 5 else batch[1].flip(0)
        return SUPCON(model(batch[0]), y)

    train(loss, Y, network())
    assert finished(tracker, tmp_path).steps.tolist() == [2, 3]
    assert sum("the loss was given other labels than those of its batch" in line for line in said()) == 1
    assert any("add --labels batch[1]" in line for line in said())


def test_small_batches_need_several_steps_to_be_certain(start, tmp_path):
    tracker = start(every=1, groups=GROUPS)
    train(lambda model, batch: SUPCON(model(batch[0]), batch[1]), Y, network(), batch=5, epochs=1)
    assert finished(tracker, tmp_path).steps[0] > 2


class Watched(SupCon):
    """Notes in which steps a hook is on it."""

    def __init__(self) -> None:
        super().__init__()
        self.hooked: list[bool] = []

    def forward(self, features, labels):
        self.hooked.append(bool(self._forward_hooks))
        return super().forward(features, labels)


def test_a_step_that_is_not_measured_has_no_hook(start, tmp_path):
    tracker, watched = start(every=3, groups=GROUPS), Watched()
    train(lambda model, batch: watched(model(batch[0]), batch[1]), Y, network())
    assert finished(tracker, tmp_path).steps.tolist() == [3, 6]
    assert [at for at, hooked in enumerate(watched.hooked) if hooked] == [1, 3, 6]


def test_nothing_is_kept_once_a_known_loss_was_seen(start):
    tracker = start(every=1, groups=GROUPS)
    train(lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]), Y, network(), epochs=1)
    assert tracker.batches.latest == []
    next(iter(DataLoader(Y, 4)))
    assert tracker.batches.latest == []


def test_the_last_line_names_the_option(start):
    tracker = start(every=1, groups=GROUPS)
    train(lambda model, batch: (model(batch[0]) - batch[1][:, None]).square().mean().log(), Y, network(), epochs=1)
    tracker.stop()
    assert why_nothing(tracker, "finished").endswith("or, if batch[1] holds the classes, track with --labels batch[1]")


@pytest.mark.parametrize("loss", [SUPCON, ODD])
def test_the_training_is_the_same(loss, start):
    def left():
        torch.manual_seed(3)
        model = network()
        train(lambda model, batch: loss(model(batch[0]), batch[1]), Y, model)
        return [*model.state_dict().values(), torch.get_rng_state()]

    plain = left()
    start(every=1, groups=GROUPS)
    assert all(torch.equal(a, b) for a, b in zip(plain, left(), strict=True))
