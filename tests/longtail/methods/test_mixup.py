"""Mixup: what is mixed with what, its loss in both forms, how much is mixed, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method
from gradlens.longtail.methods.mixup import Mix
from gradlens.longtail.methods.terms import cross_entropy
from gradlens.longtail.recipe.batch import Batch
from gradlens.longtail.recipe.processes import Processes
from gradlens.longtail.recipe.visiting import PhaseProgress
from tests.distributed.processes import together
from tests.longtail.watched import watched

ROWS = 12


def learner(processes=None):
    model = SimpleNamespace(embed=lambda images: images.flatten(1), classifier=nn.Linear(ROWS, 4).double())
    return SimpleNamespace(model=model, num_classes=4, device="cpu", processes=processes or Processes())


def mixed(alpha, seed, who=None):
    """Returns the step of a batch whose image i is the unit vector i: a mixed image names its parts."""
    labels = torch.arange(ROWS) % 4
    images = torch.eye(ROWS, dtype=torch.float64).reshape(ROWS, 1, 3, 4)
    generator = torch.Generator().manual_seed(seed)
    return Mix(alpha)(who or learner(), PhaseProgress(0, 1), Batch(images, labels), generator), labels


def test_images_and_labels_are_mixed_alike_with_a_permutation_of_the_batch():
    step, labels = mixed(1.0, seed=3)
    parts = step.images.flatten(1)  # [B, B] parts[i, j]: how much of image j is in image i
    eye = torch.eye(ROWS, dtype=torch.float64)
    alone = [i for i in range(ROWS) if parts[i, i] == 1]  # mixed with itself
    share = float(parts.diagonal()[[i for i in range(ROWS) if i not in alone]][0])  # one for the whole batch
    partners = (parts - share * eye) / (1 - share)
    assert 0 < share < 1
    assert len(alone) < ROWS
    assert torch.allclose(partners.sum(0), torch.ones(ROWS, dtype=torch.float64))
    assert torch.equal(partners.round(), partners.round().clamp(0, 1))
    assert torch.allclose(partners, partners.round(), atol=1e-9)
    assert torch.allclose(step.labels, parts @ F.one_hot(labels, 4).double())


def test_its_loss_is_both_cross_entropies_in_their_shares():
    step, labels = mixed(1.0, seed=3)
    parts = step.images.flatten(1)
    share = float(parts.diagonal().min())
    partner = labels[((parts - share * torch.eye(ROWS)) / (1 - share)).argmax(1)]
    both = share * F.cross_entropy(step.logits, labels) + (1 - share) * F.cross_entropy(step.logits, partner)
    assert cross_entropy(step).item() == pytest.approx(both.item(), rel=1e-12)


@pytest.mark.parametrize("alpha", [1.0, 0.2])
def test_shares_are_drawn_from_the_beta_distribution(alpha):
    """Its mean is 1/2, its variance 1 / (4 (2 alpha + 1)); the bounds are four standard errors or more."""
    generator = torch.Generator().manual_seed(0)
    images = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
    who = learner()
    who.model.classifier = nn.Linear(1, 4)
    mix, draws = Mix(alpha), []
    for _ in range(2000):
        first, second = (
            mix(who, PhaseProgress(0, 1), Batch(images, torch.tensor([0, 1])), generator).images.flatten().tolist()
        )
        if first:  # the two were not mixed with themselves
            draws.append(second)
    shares = torch.tensor(draws, dtype=torch.float64)
    variance = 1 / (4 * (2 * alpha + 1))
    assert len(shares) > 800
    assert abs(float(shares.mean()) - 0.5) < 4 * (variance / len(shares)) ** 0.5
    assert float(shares.var()) == pytest.approx(variance, rel=0.15)


def test_a_seed_gives_one_mixture_and_another_seed_another():
    again = [mixed(1.0, seed)[0].images for seed in (5, 5, 6)]
    assert torch.equal(again[0], again[1])
    assert not torch.equal(again[0], again[2])


def test_a_training_sees_mixed_labels_that_add_up_to_one(task):
    batches = watched(find_method("mixup").on(task, {"epochs": 1}), task).labels["all classes", 0]
    sums = torch.cat([labels.sum(1) for labels in batches])
    assert torch.allclose(sums, torch.ones(342))  # an epoch of the digits
    assert len({round(float(labels.max(1).values.min()), 5) for labels in batches}) > 5  # another share in each batch


def parts(seed):
    """Returns what is in the images of a batch that this process has mixed, with random numbers of its own."""
    processes = Processes.here()
    return mixed(1.0, seed + processes.rank, learner(processes))[0].images.flatten(1).tolist()


def test_processes_share_how_much_is_mixed_and_not_with_what(tmp_path):
    first, second = (torch.tensor(rows) for rows in together(tmp_path, parts, 3))
    assert torch.equal(first, torch.tensor(mixed(1.0, 3)[0].images.flatten(1).tolist()))
    assert set(first.unique().tolist()) == set(second.unique().tolist())
    assert not torch.equal(first, second)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf")])
def test_alpha_out_of_range_is_refused(task, alpha):
    with pytest.raises(LongTailError, match="alpha="):
        find_method("mixup").on(task, {"alpha": alpha})
