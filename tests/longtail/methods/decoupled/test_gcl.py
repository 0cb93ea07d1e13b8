"""GCL: its noise, its loss by hand, what stage 2 trains, and what is refused."""

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method
from gradlens.longtail.methods.decoupled.gcl import Clouded, MarginFocal, clouds
from gradlens.longtail.methods.parts.normalised import NormalisedClassifier
from gradlens.longtail.recipe.batch import Batch
from gradlens.longtail.recipe.visiting import PhaseProgress
from gradlens.longtail.tasks.digits import SETTINGS
from gradlens.longtail.training.fit import fit
from tests.longtail.tiny_training import tiny_task
from tests.longtail.watched import watched

GCL = find_method("gcl")


def test_clouds_by_hand():
    """log 100, log 10 and log 1: the second is half of the way."""
    assert clouds(torch.tensor([100, 10, 1]), 0.5).tolist() == pytest.approx([0, 0.25, 0.5], abs=1e-12)
    assert clouds(torch.tensor([7, 7]), 0.5).tolist() == [0, 0]


def noise_of(seed, rows=4000):
    """Returns [rows, 3] what a forward pass takes off the cosines, divided by the classes' clouds 0.25, 0.5 and 1."""
    torch.manual_seed(0)
    classifier = NormalisedClassifier(2, 3, 30.0).double()
    learner = SimpleNamespace(model=SimpleNamespace(embed=lambda images: images.flatten(1), classifier=classifier))
    images = torch.randn(rows, 1, 1, 2, dtype=torch.float64)
    sizes = torch.tensor([0.25, 0.5, 1.0], dtype=torch.float64)
    batch = Batch(images, torch.zeros(rows, dtype=torch.int64))
    before = torch.get_rng_state()
    step = Clouded(sizes, None)(learner, PhaseProgress(0, 1), batch, torch.Generator().manual_seed(seed))
    assert torch.equal(torch.get_rng_state(), before)
    return ((classifier(images.flatten(1)) - step.logits) / 30 / sizes).detach()


def test_noise_is_half_of_a_normal_distribution_cut_off_at_one():
    noise = noise_of(1)
    assert noise.min() >= 0
    assert noise.max() <= 1 + 1e-12
    # bounds with equal parts of |N(0, 1/9)| between them; what is beyond 1 is in the last part
    inner = [math.sqrt(2) / 3 * float(torch.erfinv(torch.tensor(k / 10, dtype=torch.float64))) for k in range(1, 10)]
    for column in noise.T.contiguous():
        found = torch.bucketize(column, torch.tensor(inner, dtype=torch.float64)).bincount(minlength=10).double()
        assert float(((found - 400) ** 2 / 400).sum()) < 27.88  # 99.9 % quantile of chi-square, 9 degrees
    assert (noise > 1 - 1e-9).double().mean() == pytest.approx(0.0027, abs=0.0015)
    # classes and samples have noise of their own, a seed gives the same again
    assert float(torch.corrcoef(noise.T)[0, 1:].abs().max()) < 0.06
    assert torch.equal(noise_of(1), noise)
    assert not torch.equal(noise_of(2), noise)


def loss_of(logits, labels, margin=0.5, gamma=1.0):
    return MarginFocal(margin, gamma)(SimpleNamespace(logits=logits, labels=labels))


def test_the_loss_of_one_sample_by_hand():
    """Logits 1 and 2, true class 0, margin 0.5: the softmax is that of 0.5 and 2."""
    logits = torch.tensor([[1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    p = math.exp(0.5) / (math.exp(0.5) + math.exp(2))
    for gamma in (0.0, 1.0, 2.0):
        loss = loss_of(logits, torch.tensor([0]), gamma=gamma)
        assert float(loss.detach()) == pytest.approx(-((1 - p) ** gamma) * math.log(p), rel=1e-12)
        # no gradient flows through the weight
        (gradient,) = torch.autograd.grad(loss, logits)
        assert gradient[0].tolist() == pytest.approx(
            [(1 - p) ** gamma * (p - 1), (1 - p) ** gamma * (1 - p)], rel=1e-12
        )


def test_mixed_labels_give_the_losses_of_both_in_their_shares():
    logits = torch.randn(4, 5, dtype=torch.float64)
    first, second = (
        torch.tensor([0, 1, 2, 3]),
        torch.tensor([4, 1, 0, 2]),
    )  # the second sample is mixed with its own class
    soft = 0.3 * F.one_hot(first, 5).double() + 0.7 * F.one_hot(second, 5).double()
    expected = 0.3 * loss_of(logits, first) + 0.7 * loss_of(logits, second)
    assert torch.allclose(loss_of(logits, soft), expected, rtol=1e-12)
    assert torch.allclose(loss_of(logits, soft, 0.0, 0.0), F.cross_entropy(logits, soft), rtol=1e-12)


def test_stage_2_trains_the_kept_classifier_alone_at_a_small_rate(task):
    options = {"epochs": 1, "epochs_2": 2}
    first = fit(GCL.on(task, options | {"learning_rate_2": 1e-12}), task).learner.model
    second = fit(GCL.on(task, options), task).learner.model
    assert (first.classifier.scale, GCL.on(task).network().classifier.scale) == (20.0, 30.0)
    before, after = first.state_dict(), second.state_dict()
    moved = {name for name in before if not torch.equal(after[name], before[name])}
    assert moved == {"classifier.weight"}  # nor do the statistics of BatchNorm
    trained = dataclasses.replace(GCL.on(task, options), phases=GCL.on(task, options).phases[:1])
    kept = fit(trained, task).learner.model.state_dict()
    assert torch.allclose(kept["classifier.weight"], before["classifier.weight"], atol=1e-6)
    assert all(torch.equal(kept[name], before[name]) for name in kept if name != "classifier.weight")


def test_draws_and_rates_of_stage_2(task):
    watcher = watched(GCL.on(task, {"epochs": 1, "epochs_2": 4, "alpha": None}), task)
    counts = torch.cat([torch.cat(watcher.labels["classifier", epoch]) for epoch in range(4)]).bincount(minlength=10)
    expected = 4 * 342 / 10
    assert float(((counts - expected) ** 2 / expected).sum()) < 27.88
    rates = watcher.rates["classifier"][::11]
    assert rates == pytest.approx([0.001 * (1 + math.cos(math.pi * t / 4)) for t in range(4)])
    assert torch.cat(watcher.labels["all classes", 0]).bincount().tolist() == task.counts.tolist()


def test_it_lifts_rare_classes_over_mixup(task):
    few = {
        name: fit(find_method(name).on(task, {"epochs": 10}), task).final["test"]["few"] for name in ("mixup", "gcl")
    }
    assert few["gcl"] > few["mixup"] + 10


@pytest.mark.parametrize(
    ("counts", "changes", "says"),
    [
        ((6, 3, 2), {"noise": -0.1}, "noise=-0.1"),
        ((6, 3, 2), {"scale": 0.0}, "scale=0"),
        ((6, 3, 2), {"scale_2": 0.0}, "scale_2=0"),
        ((6, 3, 2), {"margin_2": -0.1}, "margin_2=-0.1"),
        ((6, 3, 2), {"gamma_2": float("nan")}, "gamma_2=nan"),
        ((6, 3, 2), {"alpha": -1.0}, "alpha=-1"),
        ((6, 0, 2), {}, "1 of 3 classes"),
        ((6,), {}, "at least two classes"),
    ],
)
def test_what_cannot_work_is_refused_before_training(counts, changes, says):
    with pytest.raises(LongTailError, match=says):
        GCL.on(dataclasses.replace(tiny_task(counts), settings=SETTINGS), changes)
