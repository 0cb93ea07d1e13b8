"""The pieces of the dual-phase method: truncated and imprinted classifier, memory, frozen old network, its losses."""

import pytest
import torch
import torch.nn.functional as F

from gradlens.longtail.methods import DUAL_PHASE
from gradlens.longtail.methods.parts.intra import intra_class_loss
from gradlens.longtail.methods.parts.retention import retention_loss
from gradlens.longtail.recipe.batch import Batch
from gradlens.longtail.recipe.phases import classify
from gradlens.longtail.recipe.visiting import PhaseProgress
from gradlens.longtail.tasks.digits import digits_task
from gradlens.longtail.training.entering import enter, start_learner
from gradlens.longtail.training.fit import fit


@pytest.fixture
def task():
    return digits_task()


def entered(task, **changes):
    """Returns the recipe and a learner that has entered phase II right after phase I."""
    recipe = DUAL_PHASE.on(task, {"epochs": 1, **changes})
    learner = start_learner(recipe, task, 0, torch.device("cpu"))
    enter(0, recipe.phases[0], learner, None)
    assert learner.model.classifier.weight.shape == (5, 64)
    assert learner.selected.tolist() == torch.nonzero(task.train.labels < 5).flatten().tolist()
    head = learner.model.classifier.weight.detach().clone()
    enter(1, recipe.phases[1], learner, None)
    return recipe, learner, head


def test_the_classifier_grows_by_the_mean_directions_of_the_new_classes(task):
    _, learner, head = entered(task)
    weight = learner.model.classifier.weight.detach()
    assert torch.equal(weight[:5], head)
    assert learner.model.classifier.weight.requires_grad
    learner.model.eval()
    images, labels = next(learner.train.batches(torch.arange(len(task.train.labels)), 10_000, augmented=False))
    with torch.no_grad():
        features = F.normalize(learner.model.embed(images), dim=1)
    for c in range(5, 10):
        mean = features[labels == c].mean(0)
        assert F.cosine_similarity(mean, weight[c], dim=0).item() == pytest.approx(1, abs=1e-5)


def test_without_imprinting_new_classes_start_anywhere(task):
    _, imprinted, _ = entered(task)
    _, random, _ = entered(task, imprint=False)
    assert not torch.allclose(imprinted.model.classifier.weight[5:], random.model.classifier.weight[5:])


@pytest.mark.parametrize("selection", ["residual", "herding", "random"])
def test_phase_two_trains_on_memory_and_tail(task, selection):
    _, learner, _ = entered(task, memory=30, selection=selection)
    # class 4 has 21 images, so its memory is capped
    assert torch.bincount(task.train.labels[learner.selected]).tolist() == [30, 30, 30, 30, 21, 14, 9, 5, 3, 2]
    assert len(set(learner.selected.tolist())) == len(learner.selected)
    assert learner.notes == {"memory_images": 141, "classes_smaller_than_memory": 1}


def test_the_old_network_is_frozen_and_stays_as_it_was(task):
    fitted = fit(DUAL_PHASE.on(task, {"epochs": 2}), task)
    learner = fitted.learner
    old = learner.modules["old"]
    alone = fit(DUAL_PHASE.on(task, {"epochs": 2, "epochs_2": 1}), task).learner.modules["old"]
    assert old.classifier.weight.shape[0] == 5
    assert not old.training
    assert not any(parameter.requires_grad for parameter in old.parameters())
    # the same, BatchNorm statistics included, however long phase II takes
    for name, value in old.state_dict().items():
        assert torch.equal(value, alone.state_dict()[name]), name
    assert not torch.equal(old.stem[0].weight, learner.model.stem[0].weight)


def test_the_losses_of_phase_two_are_those_of_equation_9(task):
    recipe, learner, _ = entered(task, tau=0.1, retention_weight=3.0, intra_margin=0.3)
    learner.model.train()
    images, labels = next(learner.train.batches(learner.selected, 20, augmented=False))
    labels = labels.roll(3)
    step = classify(learner, PhaseProgress(0, 1), Batch(images, labels), torch.Generator())
    terms = {name: term(step) for name, term in recipe.phases[1].losses.items()}
    features = step.features
    cosines = F.normalize(features) @ F.normalize(learner.model.classifier.weight).T
    old = learner.modules["old"].embed(images)
    assert terms["classification"].item() == pytest.approx(F.cross_entropy(10 * cosines, labels).item(), rel=1e-5)
    assert terms["retention"].item() == pytest.approx(3 * retention_loss(old, features, 0.1).item(), rel=1e-5)
    assert terms["intra"].item() == pytest.approx(intra_class_loss(cosines, labels, 5, margin=0.3).item(), rel=1e-5)


def test_a_batch_of_one_image_has_finite_losses_and_gradients(task):
    recipe, learner, _ = entered(task)
    learner.model.train()
    images, labels = next(learner.train.batches(learner.selected, 1, augmented=False))
    step = classify(learner, PhaseProgress(0, 1), Batch(images, labels), torch.Generator())
    sum(term(step) for term in recipe.phases[1].losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in learner.model.parameters() if p.grad is not None)


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
