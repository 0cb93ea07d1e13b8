"""BBN (Zhou et al. 2020, "BBN: bilateral-branch network with cumulative learning for long-tailed visual recognition").

Two branches share all layers but their last block. One is trained on images in their own frequencies, the other on images drawn
in reversed ones: first a class with probability proportional to 1 / n_c, then one of its images. With f_c and f_r the features of
an image of each stream, and a = 1 - (t / T)^2 in epoch t of T, counted from 0 (Section 3.4),

    z = W 2 [a f_c; (1 - a) f_r] + b,    L = a CE(z, y_c) + (1 - a) CE(z, y_r),

which is the cross-entropy with soft labels. At test both branches get the same image: z = W [f_c; f_r] + b, the map at a = 1/2.
The factor 2, which the paper leaves out, is that of the code (megvii-research/BBN, lib/core/combiner.py). The paper adds the
logits of two classifiers; the code has one of the joined features, which is the same but for its single bias.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.common import check_classes, check_full_batch, positive
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.single_phase import one_phase
from gradlens.longtail.networks.branched import BranchedNetwork
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.batch import Batch
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.optimization import Schedule
from gradlens.longtail.recipe.phases import Step
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings, settings_from
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.recipe.visiting import PhaseProgress, reversed_frequency


@dataclass(frozen=True)
class CumulativeLearning:
    """A forward pass of two streams. Its step has soft labels.

    Attributes:
        epochs: T of the formula; None = the epochs of the phase.
    """

    epochs: int | None = None

    def share(self, progress: PhaseProgress) -> float:
        """Returns a, the share of the stream in the images' own frequencies."""
        return 1 - (progress.epoch / (self.epochs or progress.epochs)) ** 2

    def __call__(self, learner: Learner, progress: PhaseProgress, batch: Batch, generator: torch.Generator) -> Step:  # noqa: ARG002
        """See ``Forward``. The labels become [b, C] soft labels."""
        network, other, a = cast(BranchedNetwork, learner.model), batch.partner, self.share(progress)
        assert other is not None
        own, reversed_ = network.embed_branch(batch.images, 0), network.embed_branch(other.images, 1)
        features = 2 * torch.cat([a * own, (1 - a) * reversed_], 1)
        first, second = (F.one_hot(labels, learner.num_classes).to(features) for labels in (batch.labels, other.labels))
        labels = a * first + (1 - a) * second
        return Step(learner, progress, batch.images, labels, features, network.classifier(features))


@dataclass(frozen=True)
class GradualWarmUp:
    """A schedule whose warm-up rises in a line from ``first``: in epoch t of it the factor is first (1 - t / E) + t / E.

    Attributes:
        then: The schedule after the warm-up.
        first: Factor of the first epoch.
        epochs: E, the epochs of the warm-up.
    """

    then: Schedule
    first: float
    epochs: int

    def factor(self, epoch: int, epochs: int) -> float:
        """See ``Schedule.factor``."""
        done = epoch / self.epochs if epoch < self.epochs else 1.0
        return self.first * (1 - done) + done if done < 1 else self.then.factor(epoch, epochs)


def _network(task: Task, settings: Settings) -> Network:
    network = task.network(settings, False)
    cut = network.before_last_block()
    branched = BranchedNetwork(cut, 2, nn.Linear(2 * cut.features, task.num_classes))
    return branched.computed(network.computing)


def _recipe(method: str, task: Task, settings: Settings) -> Recipe:
    check_classes(method, task)
    first, over = float(settings["warm_up_first"]), settings["alpha_epochs"]
    if not 0 < first <= 1:
        raise LongTailError(f"warm_up_first={first}; it is a part of the learning rate, above 0 and at most 1")
    epochs = positive(settings, "epochs") * positive(settings, "compute")
    if over is not None and over < epochs:
        raise LongTailError(f"alpha_epochs={over}; it must be at least the {epochs} epochs of the training")
    check_full_batch(method, task, positive(settings, "batch"))
    forward = CumulativeLearning(over)
    recipe = one_phase(method, task, settings, network=partial(_network, task, settings), forward=forward)
    phase = replace(recipe.phases[0], partner=reversed_frequency, drop_last=True)
    if warm_up := int(settings["warm_up"]):
        phase = replace(phase, schedule=GradualWarmUp(phase.schedule, first, warm_up))
    return replace(recipe, phases=(phase,))


_CODE = "Zhou et al. 2020, code"
_CIFAR = settings_from(
    f"{_CODE}: configs/cifar100.yaml",
    epochs=200,
    batch=128,
    learning_rate=0.1,
    weight_decay=2e-4,
    schedule="steps",
    steps_at=(0.6, 0.8),
    steps_by=0.01,
    warm_up=5,
)
BBN = Method(
    "bbn",
    "two branches, one for images in reversed frequencies, whose share grows through training",
    {
        "nesterov": Setting(True, f"{_CODE}: lib/utils/utils.py"),
        "alpha_epochs": Setting(None, f"{_CODE}: the epochs of the training, but 100 for 90 and 200 for 180", int),
        "warm_up_first": Setting(
            1 / 3, f"{_CODE}: lib/utils/lr_scheduler.py; the factor of the first epoch of a warm-up"
        ),
        "sampler": Setting("shuffled", "Zhou et al. 2020: the stream of the conventional branch"),
        "compute": Setting(1, "gradlens: multiple of the epochs"),
    },
    partial(_recipe, "bbn"),
    presets={
        "cifar100-lt-if50": _CIFAR,
        "cifar100-lt": {
            name: Setting(setting.value, f"{setting.source}, which is of imbalance 50")
            for name, setting in _CIFAR.items()
        },
        "inaturalist2018": settings_from(
            f"{_CODE}: configs/iNaturalist2018.yaml",
            epochs=180,
            alpha_epochs=200,
            batch=128,
            learning_rate=0.05,
            weight_decay=1e-4,
            schedule="steps",
            steps_at=(2 / 3, 8 / 9),
            steps_by=0.1,
        ),
    },
)
METHODS = (BBN,)
