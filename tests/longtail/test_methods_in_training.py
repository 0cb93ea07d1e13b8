"""What the settings of a method come to in a training: samplers, signed features, rates, and the terms of phase II."""

import pytest
import torch
import torch.nn.functional as F

from gradlens.longtail.methods import CE, DUAL_PHASE, PLAIN
from gradlens.longtail.recipe.learner import derived_seed
from gradlens.longtail.tasks.digits import digits_task
from gradlens.longtail.training.fit import fit
from gradlens.longtail.training.watcher import Unwatched


class Watcher(Unwatched):
    """Notes labels by (phase, epoch), and the learning rate of each step."""

    def __init__(self):
        self.labels, self.rates = {}, {}

    def start_phase(self, phase, learner, optimizer, step, done):
        self.phase, self.optimizer = phase.name, optimizer

    def backward(self, losses, step):
        self.labels.setdefault((self.phase, step.progress.epoch), []).append(step.labels)
        self.rates.setdefault(self.phase, []).append(self.optimizer.param_groups[0]["lr"])
        super().backward(losses, step)


@pytest.fixture(scope="module")
def task():
    return digits_task()


def watched(recipe, task):
    watcher = Watcher()
    fit(recipe, task, watcher=watcher)
    return watcher


# 99.9 % quantiles of chi-square by degrees of freedom
CHI2 = {4: 18.47, 9: 27.88}


def misfit(labels, classes, n, t):
    """Chi-square of drawn labels against p_j(t) = (1 - t) n_j / sum(n) + t / C, written out."""
    drawn = torch.bincount(labels, minlength=classes).double()
    n = torch.tensor(n[:classes], dtype=torch.float64)
    expected = len(labels) * ((1 - t) * n / n.sum() + t / classes)
    return ((drawn - expected) ** 2 / expected).sum().item()


@pytest.mark.parametrize(("method", "phase", "classes"), [(PLAIN, "all classes", 10), (DUAL_PHASE, "I", 5)])
def test_progressive_sampling_goes_from_images_to_classes_over_the_epochs(task, method, phase, classes):
    epochs = 6
    watcher = watched(method.on(task, {"epochs": epochs, "sampler": "progressive"}), task)
    counts = [124, 80, 51, 33, 21, 14, 9, 5, 3, 2]
    of_epoch = [torch.cat(watcher.labels[phase, epoch]) for epoch in range(epochs)]
    assert all(len(labels) == sum(counts[:classes]) for labels in of_epoch)
    assert max(int(labels.max()) for labels in of_epoch) == classes - 1
    for epoch, labels in enumerate(of_epoch):
        assert misfit(labels, classes, counts, epoch / epochs) < CHI2[classes - 1]
    # early and late draws cannot be taken for each other
    assert misfit(of_epoch[0], classes, counts, 5 / 6) > CHI2[classes - 1]
    assert misfit(of_epoch[-1], classes, counts, 0) > CHI2[classes - 1]


def test_progressive_is_what_the_paper_s_methods_do_by_default(task):
    assert (PLAIN.on(task).settings["sampler"], DUAL_PHASE.on(task).settings["sampler"]) == ("progressive",) * 2


@pytest.mark.parametrize(("method", "signed"), [(DUAL_PHASE, True), (PLAIN, True), (CE, False)])
def test_features_are_signed_where_the_classifier_takes_cosines(task, method, signed):
    torch.manual_seed(derived_seed(0, "network"))
    network = method.on(task).network().eval()
    images, _ = next(task.train.batches(torch.arange(50), 50, augmented=False))
    assert bool((network.embed(images) < 0).any()) is signed


def test_phase_two_has_its_own_learning_rate(task):
    changes = {"epochs": 1, "learning_rate": 0.08, "schedule": "steps", "warm_up": 0, "steps_at": [2.0]}
    same = watched(DUAL_PHASE.on(task, changes), task).rates
    own = watched(DUAL_PHASE.on(task, changes | {"learning_rate_2": 0.02}), task).rates
    assert {phase: set(rates) for phase, rates in same.items()} == {"I": {0.08}, "II": {0.08}}
    assert {phase: set(rates) for phase, rates in own.items()} == {"I": {0.08}, "II": {0.02}}


# Cosines of a memory sample (class 0) and of a tail sample (class 5); C1 = 5.
SCORES = torch.tensor(
    [
        [0.5, 0.4, 0.0, 0.0, 0.0, 0.3, 0.2, 0.1, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.3, 0.0, 0.0, 0.0],
    ]
)
LABELS = torch.tensor([0, 5])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # memory, two hardest new: 0.5 - 0.5 + 0.3 and + 0.2
        ({}, (0.3 + 0.2) / 2),
        ({"intra_hardest": 1}, 0.3),
        ({"intra_margin": 0.3}, (0.1 + 0.0) / 2),
        # the hardest of all: + 0.4 of class 1 and + 0.3 of class 5
        ({"intra_negatives": "all"}, (0.4 + 0.3) / 2),
        # the tail sample as well: 0.5 - 0.1 + 0.3 and + 0.0
        ({"intra_samples": "all"}, (0.3 + 0.2 + 0.7 + 0.4) / 4),
    ],
)
def test_every_option_of_the_intra_class_loss_reaches_it(task, changes, expected):
    term = DUAL_PHASE.on(task, changes).phases[1].losses["intra"]
    assert term.of(SCORES, LABELS).item() == pytest.approx(expected, abs=1e-6)


OLD, NEW = torch.eye(2), torch.tensor([[1.0, 0.0], [0.6, 0.8]])


def retention(tau):
    """Sum over samples i of sum_j a_ji |z_i - z^_j|, written out."""
    total = 0.0
    for z in OLD:
        weights = torch.softmax(torch.stack([z @ n for n in F.normalize(NEW)]) / tau, 0)
        total += sum(w * (z - n).norm() for w, n in zip(weights, F.normalize(NEW), strict=True))
    return float(total)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"retention_weight": 1.0}, retention(0.05) / 2),
        ({"retention_weight": 3.0}, 3 * retention(0.05) / 2),
        ({"retention_weight": 1.0, "tau": 1.0}, retention(1.0) / 2),
        ({"retention_weight": 1.0, "retention_reduction": "sum"}, retention(0.05)),
    ],
)
def test_every_option_of_the_memory_retentive_loss_reaches_it(task, changes, expected):
    term = DUAL_PHASE.on(task, changes).phases[1].losses["retention"]
    assert term.of(OLD, NEW).item() == pytest.approx(expected, rel=1e-5)


def test_detached_weights_change_the_gradient_alone(task):
    values, gradients = [], []
    for detach in (False, True):
        new = NEW.clone().requires_grad_()
        term = DUAL_PHASE.on(task, {"retention_detach": detach, "tau": 1.0}).phases[1].losses["retention"]
        loss = term.of(OLD, new)
        loss.backward()
        values.append(loss.item())
        gradients.append(new.grad)
    assert values[0] == values[1]
    assert not torch.allclose(*gradients)
