"""The training loop: what it draws, evaluates and records, and stopping on NaN."""

import pytest
import torch
import torch.nn.functional as F

from gradlens.longtail.methods import DUAL_PHASE, PLAIN
from gradlens.longtail.recipe.learner import derived_seed
from gradlens.longtail.recipe.optimization import Steps
from gradlens.longtail.tasks.digits import digits_task
from gradlens.longtail.training.evaluation import NUMBERS
from gradlens.longtail.training.fit import fit
from gradlens.longtail.training.watcher import Unwatched
from tests.longtail.tiny_training import Linear, tiny_recipe, tiny_task


class Recorder(Unwatched):
    def __init__(self):
        self.labels, self.rates, self.phases, self.events, self.rows, self.modes = [], [], [], [], [], []

    def start_phase(self, phase, learner, optimizer, step, done):
        self.optimizer = optimizer
        self.phases.append((phase.name, step, done))

    def backward(self, losses, step):
        self.labels.append(step.labels)
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        super().backward(losses, step)

    def end_epoch(self, row, learner):
        self.rows.append(row["epoch"])

    def event(self, kind, **facts):
        self.events.append((kind, facts))


def test_it_equals_a_loop_written_by_hand():
    task = tiny_task()
    fitted = fit(tiny_recipe(task), task, seed=3)
    torch.manual_seed(derived_seed(3, "network"))
    model = Linear(3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    images, labels = task.train._data.images, task.train.labels
    for epoch in range(2):
        # round(0.8 * 2) = round(0.9 * 2) = 2: the decay comes after the last epoch
        torch.manual_seed(derived_seed(3, "forward", 0, epoch))
        generator = torch.Generator().manual_seed(derived_seed(3, "order", 0, epoch))
        for batch in torch.randperm(11, generator=generator).split(4):
            optimizer.zero_grad()
            F.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
    for ours, theirs in zip(fitted.learner.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert fitted.steps == 6
    model.eval()
    correct = model(images).argmax(1) == labels
    assert fitted.final["test"]["overall"] == pytest.approx(100 * correct.double().mean().item())


def test_the_global_random_state_is_put_back():
    before = torch.get_rng_state()
    task = tiny_task()
    fit(tiny_recipe(task), task)
    assert torch.equal(torch.get_rng_state(), before)


def test_history_best_and_sparse_evaluation():
    task = digits_task()
    fitted = fit(PLAIN.on(task, {"epochs": 5}), task, evaluate_every=2)
    assert [row["epoch"] for row in fitted.history] == [1, 2, 3, 4, 5]
    assert ["overall" in row for row in fitted.history] == [False, True, False, True, True]
    assert set(fitted.history[-1]) == {"epoch", "phase", "loss", "seconds", *NUMBERS}
    assert fitted.best["overall"] == max(row["overall"] for row in fitted.history if "overall" in row)
    assert fitted.final["test"]["overall"] == fitted.history[-1]["overall"]


def test_rates_follow_the_schedule():
    task = tiny_task()
    recorder = Recorder()
    fit(tiny_recipe(task, epochs=10, schedule=Steps((0.8, 0.9), 0.1, warm_up=2)), task, watcher=recorder, max_steps=1)
    assert recorder.rates == pytest.approx([0.05, 0.1, *[0.1] * 6, 0.01, 0.001])


def test_phase_one_sees_the_head_and_phase_two_the_memory_and_the_tail():
    task = digits_task()
    recorder = Recorder()
    fitted = fit(DUAL_PHASE.on(task, {"epochs": 2, "memory": 3}), task, watcher=recorder)
    # counts 124 80 51 33 21 | 14 9 5 3 2 (imbalance 50): 309 head images in 10 batches, 5 x 3 + 33 in 2
    assert task.counts.tolist()[5:] == [14, 9, 5, 3, 2]
    assert recorder.phases == [("I", 0, 0), ("II", 20, 0)]
    assert [len(batch) for batch in recorder.labels] == [*[32] * 9, 21, *[32] * 9, 21, 32, 16, 32, 16]
    assert torch.cat(recorder.labels[:20]).max() == 4
    assert torch.bincount(torch.cat(recorder.labels[20:22])).tolist() == [3, 3, 3, 3, 3, 14, 9, 5, 3, 2]
    kind, facts = recorder.events[0]
    assert (kind, facts["phase"], facts["memory_images"]) == ("phase-entered", "II", 15)
    assert recorder.rows == [1, 2, 3, 4]
    assert set(fitted.history[-1]) >= {"loss/classification", "loss/intra", "loss/retention"}
    row = fitted.history[-1]
    assert row["loss"] == pytest.approx(sum(value for name, value in row.items() if name.startswith("loss/")))


def test_a_phase_without_epochs_sets_values_only():
    task = tiny_task()

    def zero(learner):
        learner.model.classifier.weight.data.zero_()

    fitted = fit(tiny_recipe(task, epochs=0, losses={}, initialise=zero), task)
    assert not fitted.learner.model.classifier.weight.any()
    # what is left is the bias, which chooses one class of 6, 3 and 2 images
    row = {"epoch": 0, "phase": "only", **fitted.final["test"]}
    assert fitted.history == [row]
    assert fitted.best == row
    assert row["overall"] in [pytest.approx(100 * n / 11) for n in (6, 3, 2)]
