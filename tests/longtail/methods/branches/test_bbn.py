"""BBN: its loss and features by hand, the shares by epoch, what the streams draw, several processes, and what is refused."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens import Run
from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method
from gradlens.longtail.methods.branches.bbn import CumulativeLearning, GradualWarmUp
from gradlens.longtail.methods.terms import cross_entropy
from gradlens.longtail.networks.branched import BranchedNetwork
from gradlens.longtail.networks.cut import Cut, GlobalAverage
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.batch import Batch
from gradlens.longtail.recipe.optimization import Steps
from gradlens.longtail.recipe.visiting import PhaseProgress
from gradlens.longtail.tasks.digits import SETTINGS
from gradlens.longtail.training.fit import fit
from gradlens.longtail.training.training_run import run_training
from gradlens.longtail.training.watching import Watching
from tests.distributed.processes import together
from tests.longtail.tiny_training import tiny_task
from tests.longtail.watched import watched

BBN = find_method("bbn")


class Scaled(nn.Module):
    """Maps one pixel to two features."""

    def __init__(self, first, second):
        super().__init__()
        self.factors = nn.Parameter(torch.tensor([first, second], dtype=torch.float64))

    def forward(self, maps):
        return maps.flatten(1) * self.factors


@pytest.fixture
def network():
    parts = iter([Scaled(1.0, 2.0), Scaled(3.0, 5.0)])
    return BranchedNetwork(Cut(nn.Identity(), lambda: next(parts), 2), 2, nn.Linear(4, 3).double())


@pytest.fixture
def batch():
    def pixels(*values):
        return torch.tensor(values, dtype=torch.float64).reshape(-1, 1, 1, 1)

    other = Batch(pixels(0.5, 7.0), torch.tensor([2, 1]))
    return Batch(pixels(1.0, -2.0), torch.tensor([0, 0]), partner=other)


def step_of(network, batch, progress):
    learner = SimpleNamespace(model=network, num_classes=3)
    return CumulativeLearning()(learner, progress, batch, torch.Generator())


def test_its_loss_is_both_cross_entropies_in_their_shares(network, batch):
    """Epoch 1 of 2: a = 3/4. Features are 2 a (x, 2x) and 2 (1 - a) (3x', 5x')."""
    step = step_of(network, batch, PhaseProgress(1, 2))
    assert step.features.tolist() == [[1.5, 3.0, 0.75, 1.25], [-3.0, -6.0, 10.5, 17.5]]
    logits = step.features @ network.classifier.weight.T + network.classifier.bias
    both = 0.75 * F.cross_entropy(logits, batch.labels) + 0.25 * F.cross_entropy(logits, batch.partner.labels)
    assert step.labels.tolist() == [[0.75, 0.0, 0.25], [0.75, 0.25, 0.0]]
    assert cross_entropy(step).item() == pytest.approx(both.item(), rel=1e-12)


def test_at_test_it_is_the_map_of_training_with_equal_shares(network):
    """a = 1 - (t / T)^2 is 1/2 for t / T = sqrt(1/2); 2 a = 1 then."""
    images = torch.randn(6, 1, 1, 1, dtype=torch.float64)
    labels = torch.zeros(6, dtype=torch.long)
    step = CumulativeLearning(2**0.5)(
        SimpleNamespace(model=network, num_classes=3),
        PhaseProgress(1, 1),
        Batch(images, labels, partner=Batch(images, labels)),
        torch.Generator(),
    )
    torch.testing.assert_close(step.logits, network(images), rtol=1e-12, atol=1e-12)


def test_shares_by_epoch():
    def shares(over, *epochs, of=200):
        return [CumulativeLearning(over).share(PhaseProgress(t, of)) for t in epochs]

    assert shares(None, 0, 100, 199) == pytest.approx([1.0, 0.75, 0.009975])
    assert shares(200, 0, 90, 179, of=180) == pytest.approx([1.0, 1 - 0.2025, 1 - 0.895**2])


def test_the_rate_rises_from_a_third():
    schedule = GradualWarmUp(Steps((0.6, 0.8), 0.01), 1 / 3, 5)
    expected = [1 / 3, 7 / 15, 9 / 15, 11 / 15, 13 / 15, 1.0]
    assert [schedule.factor(t, 200) for t in range(6)] == pytest.approx(expected)
    assert [schedule.factor(t, 200) for t in (119, 120, 160)] == pytest.approx([1, 1e-2, 1e-4])


def test_classes_of_the_second_stream_come_in_reversed_frequencies(task):
    """Labels of the last epoch of many: nearly all of a row's weight lies on the second stream's class."""
    recipe = BBN.on(task, {"epochs": 20})
    drawn = torch.zeros(10)
    for (_, epoch), batches in watched(recipe, task).labels.items():
        if epoch >= 15:  # 1 - a is more than 1/2 from t / T = 0.71 on
            drawn += torch.cat(batches).round().sum(0)
    n = torch.tensor(task.counts).double()
    expected = float(drawn.sum()) * (1 / n) / (1 / n).sum()
    assert drawn.sum() == 5 * 320  # full batches of the 342 images
    assert float(((drawn - expected) ** 2 / expected).sum()) < 27.9  # chi-square, 9 degrees of freedom, 99.9 %


def test_the_lens_divides_the_soft_labels(task, tmp_path):
    recipe = BBN.on(task, {"epochs": 2})
    run_training(recipe, task, tmp_path, watching=Watching(every=1, probe_every=0))
    run = Run(tmp_path)
    assert np.nanmax(run.residual) < 1e-4
    counts = run.counts
    np.testing.assert_allclose(counts.sum(1), 32, rtol=1e-5)  # one for each row of a batch
    tail = counts[:, run.names.index("tail")]
    # The first epoch has a = 1: whole images of the first stream. In the second a quarter of each row is the second stream's.
    np.testing.assert_allclose(tail[:10] % 1, 0, atol=1e-5)
    assert tail[10:].mean() > tail[:10].mean()


class SmallParts(Network):
    """Without BatchNorm: nothing in which a share of a batch differs from the batch."""

    def before_last_block(self):
        lower = nn.Sequential(nn.Conv2d(1, 4, 2), nn.Tanh())
        return Cut(lower, lambda: nn.Sequential(nn.Conv2d(4, 5, 1), nn.Tanh(), GlobalAverage()), 5)


def trained():
    """Returns history and weights of a training with incomplete batches for two processes."""
    task = tiny_task((9, 5, 3))
    task = dataclasses.replace(task, settings=SETTINGS, network=lambda settings, signed: SmallParts())
    recipe = BBN.on(task, {"epochs": 3, "batch": 5})
    recipe = dataclasses.replace(recipe, network=lambda: BBN.on(task, {"batch": 5}).network().double())
    task.train._data = dataclasses.replace(task.train._data, images=task.train._data.images.double())
    fitted = fit(recipe, task, seed=3)
    rows = [{name: row[name] for name in ("loss", "overall")} for row in fitted.history]
    return fitted.steps, rows, {name: value.tolist() for name, value in fitted.learner.model.state_dict().items()}


def test_two_processes_do_what_one_does(tmp_path):
    steps, rows, weights = trained()
    assert steps == 9  # three full batches of 17 images
    for other_steps, other_rows, other in together(tmp_path, trained):
        assert other_steps == steps
        for row, expected in zip(other_rows, rows, strict=True):
            assert row == pytest.approx(expected, rel=1e-9)
        for name, value in weights.items():
            np.testing.assert_allclose(other[name], value, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"batch": 343}, "342 images fill none of 343"),
        ({"alpha_epochs": 20}, "alpha_epochs=20; it must be at least the 30 epochs"),
        ({"warm_up_first": 0.0}, "warm_up_first=0.0"),
        ({"momentum": 0.0}, "nesterov=true with momentum=0"),
    ],
)
def test_settings_that_cannot_work_are_refused(task, change, says):
    with pytest.raises(LongTailError, match=says):
        BBN.on(task, change)


def test_one_class_has_nothing_to_reverse(task):
    single = dataclasses.replace(tiny_task((6,)), settings=task.settings)
    with pytest.raises(LongTailError, match="bbn needs at least two classes, and tiny has 1"):
        BBN.on(single, {"batch": 2})
