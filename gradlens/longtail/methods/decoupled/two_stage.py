"""The two stages of decoupled methods: one that trains the whole network, then one that only trains its classifier.

Stage 1 is that of ``ce`` or ``mixup``, so that these methods can branch off such a training (``branch_point``). Stage 2 begins
with the last epoch of stage 1. With ``stage_2_from=best`` it begins with the one that is best on the task's first split, as most
reference code does: on a validation split, or, where there is none, on the test images.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.common import above_zero, not_negative, positive, prefixes, schedule, sgd
from gradlens.longtail.methods.parts.cifar_recipe import cifar_recipe
from gradlens.longtail.methods.parts.photos_recipe import KANG, kang_recipes
from gradlens.longtail.methods.single_phase import later_settings, one_phase
from gradlens.longtail.methods.terms import cross_entropy
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.learner import BEST, Learner
from gradlens.longtail.recipe.modes import frozen
from gradlens.longtail.recipe.optimization import Sgd
from gradlens.longtail.recipe.phases import Forward, LearnerChange, LossOfStep, TrainingPhase, classify
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings, settings_from
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.recipe.visiting import ClassAware, Visiting, visiting

BAG = "Zhang et al. 2021, BagofTricks-LT"


def kang_presets(*, epochs_2: int | None = None) -> dict[str, dict[str, Setting]]:
    """Returns how the reference trains on the large data sets (facebookresearch/classifier-balancing).

    Args:
        epochs_2: Epochs of stage 2 on iNaturalist 2018 where they differ from those on the others; None = they do not.
    """
    start = settings_from(f"{KANG}: the epoch that is best on the validation split", stage_2_from="best")
    presets = {dataset: first | start for dataset, first in kang_recipes().items()}
    if epochs_2 is not None:
        presets["inaturalist2018"] |= settings_from(f"{KANG}, config/iNaturalist18", epochs_2=epochs_2)
    return presets


def bag_of_tricks_stage_1() -> dict[str, Setting]:
    """Returns stage 1 of BagofTricks-LT on CIFAR100-LT. What it does differently stands in the sources."""
    return cifar_recipe(BAG, nesterov=True) | {
        "batch": Setting(128, f"{BAG}; there a last batch that is not full is left out"),
        "warm_up": Setting(5, f"{BAG}; there it begins at a third of the rate"),
    }


def bag_of_tricks() -> dict[str, dict[str, Setting]]:
    """Returns the preset of both stages of BagofTricks-LT on CIFAR100-LT, for cRT and LWS."""
    second = settings_from(
        BAG,
        epochs_2=30,
        learning_rate_2=0.1,
        weight_decay_2=5e-4,
        schedule_2="steps",
        steps_at_2=(1 / 3, 2 / 3),
        steps_by_2=0.1,
        sampler_2="class-balanced",
        moving_statistics=True,
    )
    first = bag_of_tricks_stage_1()
    return {"cifar100-lt-bag-of-tricks": first | second | {"warm_up_2": first["warm_up"]}}


def stage_1_settings(source: str) -> dict[str, Setting]:
    """Returns the settings of a stage 1 with a linear classifier and plain shuffling.

    Args:
        source: The paper that trains in this way.
    """
    return {
        "sampler": Setting("shuffled", source),
        "compute": Setting(1, "gradlens: multiple of the epochs of stage 1"),
        **later_settings(source),
        "stage_2_from": Setting(
            "last", "gradlens: no choice on test images; most reference code takes the 'best' epoch"
        ),
    }


def stage_2_settings(source: str, *, epochs: Setting, sampler: Setting, moving: Setting) -> dict[str, Setting]:
    """Returns the settings of a stage 2 with a cosine schedule.

    Args:
        source: The paper that trains in this way.
        epochs: Epochs of stage 2.
        sampler: Its sampler.
        moving: Whether the statistics of the frozen BatchNorm move.
    """
    unused = f"{source}: not used by the cosine schedule"
    return {
        "epochs_2": epochs,
        "learning_rate_2": Setting(None, f"{source}: as in stage 1", float),
        "weight_decay_2": Setting(None, f"{source}: as in stage 1", float),
        "schedule_2": Setting("cosine", source),
        "steps_at_2": Setting((1 / 3, 2 / 3), unused),
        "steps_by_2": Setting(0.1, unused),
        "warm_up_2": Setting(0, f"{source}: none"),
        "sampler_2": sampler,
        "moving_statistics": moving,
    }


def kang_settings(epochs_2: Setting) -> dict[str, Setting]:
    """Returns the settings of both stages of cRT and LWS.

    Args:
        epochs_2: Epochs of stage 2.
    """
    second = stage_2_settings(
        KANG,
        epochs=epochs_2,
        sampler=Setting("class-aware", f"{KANG}: ClassAwareSampler, 4 images in a row"),
        moving=Setting(True, f"{KANG}, run_networks.py: the frozen network is in train mode"),
    )
    return stage_1_settings(KANG) | second


def stage_1(
    method: str,
    task: Task,
    settings: Settings,
    *,
    network: Callable[[], Network] | None = None,
    forward: Forward = classify,
) -> Recipe:
    """Returns a recipe of stage 1 alone.

    Args:
        method: Name of the method.
        task: The task.
        settings: All settings.
        network: Makes the network; None = the task's, with a linear classifier.
        forward: The forward pass.

    Raises:
        LongTailError: The task has a single class, or a setting has a value that it cannot have.
    """
    made = network or partial(task.network, settings, False)
    return one_phase(method, task, settings, network=made, forward=forward)


def stage_2(
    task: Task,
    settings: Settings,
    structure: LearnerChange,
    *,
    losses: Mapping[str, LossOfStep] | None = None,
    trainable: tuple[str, ...] = ("classifier",),
    forward: Forward = classify,
    steps: int | None = None,
) -> TrainingPhase:
    """Returns the phase that trains a classifier on the frozen network.

    Args:
        task: The task.
        settings: All settings, with those of ``stage_2_settings``.
        structure: Replaces the classifier, see ``TrainingPhase``.
        losses: Loss terms; None = cross-entropy.
        trainable: Prefixes of the parameters that train.
        forward: The forward pass.
        steps: Steps of an epoch if the sampler is "class-aware"; None = as many whole batches as the training set has images
            for, at least 1 (facebookresearch/classifier-balancing, run_networks.py).

    Raises:
        LongTailError: A setting has a value that it cannot have.
    """
    batch = positive(settings, "batch")
    return TrainingPhase(
        name="classifier",
        epochs=positive(settings, "epochs_2"),
        losses=losses or {"classification": cross_entropy},
        batch=batch,
        visiting=_visiting(settings["sampler_2"], batch * (steps or max(1, len(task.train.labels) // batch))),
        sgd=classifier_sgd(settings),
        schedule=schedule(settings, "_2"),
        trainable=trainable,
        structure=structure,
        forward=forward,
        moving=prefixes(settings, "moving_parts") if settings["moving_statistics"] else (),
    )


def both_stages(first: Recipe, second: TrainingPhase) -> Recipe:
    """Returns the recipe of both stages.

    Args:
        first: Recipe of stage 1.
        second: Stage 2. It begins with the epoch of stage 1 that the setting ``stage_2_from`` names.

    Raises:
        LongTailError: ``stage_2_from`` has a value that it cannot have.
    """
    (phase,), start = first.phases, first.settings["stage_2_from"]
    if start not in ("last", "best"):
        raise LongTailError(f"stage_2_from={start!r}; choose the 'last' or the 'best' epoch of stage 1")
    if start == "best":
        phase = replace(phase, structure=copy_network, keep_best=True)
        second = replace(second, structure=FromBest(second.structure))
    return replace(first, phases=(phase, second))


def copy_network(learner: Learner) -> None:
    """Makes the module that keeps the network of the best epoch."""
    learner.modules[BEST] = frozen(copy.deepcopy(learner.model))


@dataclass(frozen=True)
class FromBest:
    """Makes the structure of a stage 2 that begins with the network of the best epoch.

    Attributes:
        structure: Makes it from the present network; None = it is the same.
    """

    structure: LearnerChange | None

    def __call__(self, learner: Learner) -> None:
        """See ``LearnerChange``."""
        learner.model.load_state_dict(learner.modules[BEST].state_dict())
        if self.structure is not None:
            self.structure(learner)


def classifier_sgd(settings: Settings) -> Sgd:
    """Returns the settings of SGD in stage 2.

    Without a learning rate of its own the classifier keeps the one that it has in stage 1.

    Raises:
        LongTailError: The learning rate is not a finite number above 0, or the weight decay is not one of at least 0.
    """
    first = sgd(settings)
    rate, decay = first.parts.get("classifier", first.learning_rate), first.weight_decay
    if settings["learning_rate_2"] is not None:
        rate = above_zero(settings, "learning_rate_2")
    if settings["weight_decay_2"] is not None:
        decay = not_negative(settings, "weight_decay_2")
    return replace(first, learning_rate=rate, weight_decay=decay, parts={})


def _visiting(sampler: str, images: int) -> Visiting:
    return ClassAware(images) if sampler == "class-aware" else visiting(sampler)
