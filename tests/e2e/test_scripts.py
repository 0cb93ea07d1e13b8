"""Training programs as their authors wrote them, as real processes: tracked and untracked they leave the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.e2e.both import EVERY, said
from tests.e2e.scripts.plain_loop import Net, make_data


def test_plain_loop(both):
    done = both("plain_loop.py", "--epochs", "2", options=(*EVERY, "--name", "first", "--layers", "--update"))

    done.assert_same_training()
    run = done.run
    # 120 samples in batches of 20, two epochs; the evaluations under no_grad are no steps.
    assert run.steps.tolist() == list(range(12))
    assert run.epoch.tolist() == [0] * 6 + [1] * 6
    assert run.groups.names == ("head", "tail")
    assert [list(ids) for ids in run.groups.classes] == [[0, 1], [2, 3]]
    assert run.meta.class_counts == (60, 40, 12, 8)
    assert run.counts.sum(0).tolist() == [200, 40]
    assert run.meta.seed == 0
    assert "body.0" in run.layers
    assert run.has_update
    assert np.nanmax(run.residual) < 1e-5
    assert run.status.state == "finished"
    line = done.tracked.said[0]
    for part in (
        "model Net (484 parameters)",
        "anchor [20, 4] at cross_entropy",
        "labels int64 [20]",
        "head 2 + tail 2 of 4",
    ):
        assert part in line
    for part in ("counts from TensorDataset.tensors[1]", "every step", "run runs/first"):
        assert part in line
    assert "Whose gradient did the model follow?" in done.tracked.err


def test_micro_batches_autocast_and_validation_without_no_grad(both):
    done = both("module_loss.py")

    done.assert_same_training()
    run = done.run
    # Two epochs of six micro-batches of 12; two make a step. The validation loss is never differentiated.
    assert len(run.steps) == 6 - (run.meta.engine != "masked")
    assert (run.counts.sum(1) == 24).all()
    assert "Shapes.targets" in run.groups.rule


def test_mixup_in_two_calls(both):
    done = both("mixup.py")

    done.assert_same_training()
    run = done.run
    assert run.steps.tolist() == list(range(8))
    # Every sample's mass is one, shared by its two labels.
    assert np.allclose(run.counts.sum(1), 30, atol=1e-4)
    assert np.nanmax(run.residual) < 1e-5
    np.testing.assert_allclose(run.gram()[0, :2, :2], first_gram_of_mixup(), rtol=1e-4)


def first_gram_of_mixup():
    """Brute force in float64: the first batch as the script draws it, one backward pass for the loss of each group."""
    torch.manual_seed(0)
    net = Net()
    x, y = next(iter(torch.utils.data.DataLoader(make_data(), batch_size=30, shuffle=True)))
    lam, index = np.random.RandomState(0).beta(1.0, 1.0), torch.randperm(30)
    x = (lam * x + (1 - lam) * x[index]).double()
    targets = lam * F.one_hot(y, 4) + (1 - lam) * F.one_hot(y[index], 4)  # [30, 4]
    kept = F.dropout(torch.ones(30, 32), 0.1).double()
    net = net.double()
    vectors = []
    for classes in ([0, 1], [2, 3]):
        net.zero_grad()
        # A group has the loss terms whose own label is in it.
        likelihoods = net.head(net.body[:3](x) * kept).log_softmax(1)[:, classes]
        (-(targets[:, classes] * likelihoods).sum(1)).mean().backward()
        vectors.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
    return (torch.stack(vectors) @ torch.stack(vectors).T).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("start", ["spawn", "forkserver", "fork"])
def test_labels_of_loader_workers_are_counted_in_the_first_pass(both, start):
    done = both("spawned_workers.py", start)

    done.assert_same_training()
    run = done.run
    assert "counting the labels of the first pass over the data" in done.tracked.said[0]
    assert "model Tagger" in done.tracked.said[0]
    assert said(done.tracked, "labels are counted: groups head")
    assert "counts from the labels of the first pass" in run.groups.rule
    # The log numbers steps and epochs as the training does: three batches made the first pass.
    assert run.steps[0] in (3, 4)
    assert run.steps[-1] == 8
    assert set(run.epoch) == {1, 2}
    assert sum(run.meta.class_counts) == 48


@pytest.mark.slow
def test_a_sampler_that_draws_without_end(both):
    done = both("data.py", "endless")

    done.assert_same_training()
    assert "counting the labels of a first pass or 100 backward passes" in done.tracked.said[0]
    run = done.run
    assert run.steps.tolist() == [100, 101, 102, 103]
    # By rank, 70/30: the samples come at random, 36 : 24 : 12 : 8.
    assert [list(ids) for ids in run.groups.classes] == [[0, 1, 2], [3]]
    assert np.nanmax(run.residual) < 1e-5


@pytest.mark.slow
def test_separate_modules_with_an_optimizer_each(both):
    done = both("two_optimizers.py")

    done.assert_same_training()
    assert "model Linear + Sequential" in done.tracked.said[0]
    run = done.run
    assert run.meta.extra["optimizers"] == 2
    # The penalty on the classifier passes through no sample.
    assert (run.norm("rest") > 0).all()
    assert np.nanmax(run.residual) < 1e-5


@pytest.mark.slow
def test_without_optimizer_every_backward_pass_is_a_step(both):
    done = both("by_hand.py", options=("--every", "2", "--groups", "a=0-1,b=2-3"))

    done.assert_same_training()
    assert done.run.steps.tolist() == [0, 2, 4, 6, 8, 10]


@pytest.mark.slow
def test_a_loss_written_by_hand_is_measured(both):
    done = both("focal.py")

    done.assert_same_training()
    run = done.run
    assert run.steps.tolist() == list(range(12))
    assert np.nanmax(run.residual) < 1e-5


@pytest.mark.slow
def test_what_the_script_observes_is_measured(both):
    done = both("focal.py", "--observe")

    done.assert_same_training()
    run = done.run
    assert run.steps.tolist() == list(range(12))
    assert run.meta.extra["anchor"] == "gradlens.observe"
    assert np.nanmax(run.residual) < 1e-5
