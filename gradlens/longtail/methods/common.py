"""Makes the optimizer settings, the schedule and the network that a method's settings describe."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from functools import partial

import torch
from torch import Tensor

from gradlens.longtail.data.counts import head_size
from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.parts.cosine import CosineClassifier
from gradlens.longtail.methods.parts.normalised import NormalisedClassifier
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.optimization import CosineAfterWarmUp, CosineDecay, Schedule, Sgd, Steps
from gradlens.longtail.recipe.settings import Settings
from gradlens.longtail.recipe.task import Task


def sgd(settings: Settings, learning_rate: float | None = None) -> Sgd:
    """Returns the settings of SGD.

    If the classifier has a learning rate of its own, its ratio to the learning rate of the rest is kept.

    Args:
        settings: All settings of the training. Only methods whose reference uses Nesterov's momentum have ``nesterov``, and only
            those that spare the classifier's bias have ``bias_decay``.
        learning_rate: Learning rate instead of that in the settings; None = that in the settings.

    Raises:
        LongTailError: A learning rate is not a finite number above 0, the momentum is not in [0, 1), the weight decay is not a
            finite number of at least 0, or Nesterov's form has no momentum.
    """
    base = float(settings["learning_rate"])
    rate = base if learning_rate is None else learning_rate
    decay = float(settings["weight_decay"])
    if not 0 < rate < math.inf or not 0 <= settings["momentum"] < 1 or not 0 <= decay < math.inf:
        raise LongTailError(
            f"learning rate {rate}, momentum {settings['momentum']}, weight decay {decay}; "
            "needed are a finite rate above 0, a momentum in [0, 1) and a finite decay of at least 0"
        )
    nesterov = bool(settings.get("nesterov", False))
    if nesterov and not settings["momentum"]:
        raise LongTailError("nesterov=true with momentum=0; Nesterov's form needs a momentum above 0")
    own = None if settings.get("classifier_learning_rate") is None else above_zero(settings, "classifier_learning_rate")
    parts = {} if own is None else {"classifier": own * rate / base}
    bias_decay = settings.get("bias_decay")
    decays = {} if bias_decay is None else {"classifier.bias": not_negative(settings, "bias_decay")}
    return Sgd(rate, float(settings["momentum"]), decay, parts, nesterov, decays)


def schedule(settings: Settings, stage: str = "") -> Schedule:
    """Returns the learning-rate schedule.

    Args:
        settings: All settings of the training.
        stage: End of the names of its settings, e.g. "_2" for ``schedule_2``.

    Raises:
        LongTailError: The warm-up is below 0, the schedule is unknown, or a step has a place or a factor that it cannot have.
    """
    kind, warm_up = settings[f"schedule{stage}"], int(settings[f"warm_up{stage}"])
    if warm_up < 0:
        raise LongTailError(f"warm_up{stage}={warm_up}; give the number of epochs, at least 0")
    if kind == "cosine":
        return CosineDecay(warm_up)
    if kind == "cosine-after-warm-up":
        given = settings.get("warm_up_from")
        first = 1 / max(warm_up, 1) if given is None else float(given)
        if not 0 < first <= 1:
            raise LongTailError(f"warm_up_from={first}; it is a part of the learning rate, above 0 and at most 1")
        return CosineAfterWarmUp(warm_up, first)
    if kind == "steps":
        return steps(settings, stage, warm_up)
    raise LongTailError(f"schedule{stage}={kind!r}; choose 'steps', 'cosine' or 'cosine-after-warm-up'")


def steps(settings: Settings, stage: str = "", warm_up: int = 0) -> Steps:
    """Returns the schedule of steps.

    Args:
        settings: All settings of the training.
        stage: End of the names of its settings, e.g. "_2" for ``steps_at_2``.
        warm_up: Epochs of linear warm-up.

    Raises:
        LongTailError: A step is not at a part of the epochs, or the factor is not a finite number above 0.
    """
    at = tuple(float(part) for part in settings[f"steps_at{stage}"])
    if not all(0 <= part <= 1 for part in at):
        raise LongTailError(
            f"steps_at{stage}={list(at)}; give parts of the epochs, from 0 to 1: [0.8, 0.9] are the epochs 160 and 180 of 200"
        )
    return Steps(at, above_zero(settings, f"steps_by{stage}"), warm_up)


def prefixes(settings: Settings, name: str) -> tuple[str, ...]:
    """Returns the beginnings of names that a setting has, with commas between them. Without the setting: "", all names."""
    return tuple(part.strip() for part in str(settings.get(name, "")).split(","))


def train_counts(task: Task) -> Tensor:
    """Returns [C] float64 training images per class. ``task.counts`` are others if the training set was balanced."""
    return torch.bincount(task.train.labels, minlength=task.num_classes).double()


def check_classes(method: str, task: Task) -> None:
    """Makes sure that there are classes to tell apart.

    Raises:
        LongTailError: The task has a single class.
    """
    if task.num_classes < 2:
        raise LongTailError(f"{method} needs at least two classes, and {task.name} has {task.num_classes}")


def check_images_of_classes(method: str, task: Task) -> None:
    """Makes sure that each class has training images.

    Raises:
        LongTailError: A class has none. The message names the first ones.
    """
    empty = torch.nonzero(train_counts(task) == 0).flatten().tolist()
    if empty:
        raise LongTailError(
            f"{method} needs training images of each class, and {len(empty)} of {task.num_classes} classes of {task.name} have "
            f"none (first ids: {empty[:5]})"
        )


def check_full_batch(method: str, task: Task, batch: int) -> None:
    """Makes sure that the training images fill a batch, for methods that leave out batches that are not full.

    Raises:
        LongTailError: They do not.
    """
    images = len(task.train.labels)
    if images < batch:
        raise LongTailError(f"{method} leaves out batches that are not full, and {images} images fill none of {batch}")


def not_negative(settings: Settings, name: str) -> float:
    """Returns a setting that must be a finite number of at least 0.

    Raises:
        LongTailError: It is below 0, infinite or NaN.
    """
    value = float(settings[name])
    if not 0 <= value < math.inf:
        raise LongTailError(f"{name}={value}; it must be a finite number of at least 0")
    return value


def above_zero(settings: Settings, name: str) -> float:
    """Returns a setting that must be a finite number above 0.

    Raises:
        LongTailError: It is 0 or less, infinite or NaN.
    """
    value = float(settings[name])
    if not 0 < value < math.inf:
        raise LongTailError(f"{name}={value}; it must be a finite number above 0")
    return value


def one_of(settings: Settings, name: str, known: Collection[str]) -> str:
    """Returns a setting that must be one of the known texts.

    Raises:
        LongTailError: It is another. The message names all.
    """
    value = str(settings[name])
    if value not in known:
        raise LongTailError(f"{name}={value!r}; choose one of {', '.join(known)}")
    return value


def positive(settings: Settings, name: str) -> int:
    """Returns a setting that must be at least 1.

    Raises:
        LongTailError: It is below 1.
    """
    value = int(settings[name])
    if value < 1:
        raise LongTailError(f"{name}={value}; it must be at least 1")
    return value


def head_classes(task: Task, given: int | None) -> int:
    """Returns C1: the given number of head classes, or else that of the paper's rule (at least 20 images).

    Raises:
        LongTailError: Head or tail would have no class.
    """
    if task.num_classes < 2:
        raise LongTailError(f"head and tail need at least two classes, and {task.name} has {task.num_classes}")
    if given is None:
        return head_size(task.counts)
    if not 1 <= given < task.num_classes:
        raise LongTailError(
            f"head_classes={given} of {task.num_classes}; each phase needs a class: give 1..{task.num_classes - 1}"
        )
    return int(given)


def cosine_network(task: Task, settings: Settings) -> Callable[[], Network]:
    """Returns a function that makes the task's network, with signed features and a cosine classifier (Section 3.2).

    Raises:
        LongTailError: The scale is not a finite number above 0.
    """
    above_zero(settings, "scale")
    return partial(_cosine_network, task, settings)


def normalised_network(task: Task, settings: Settings) -> Callable[[], Network]:
    """Returns a function that makes the task's network with the normalised classifier of LDAM. Its features stay as they are.

    Raises:
        LongTailError: The scale is not a finite number above 0.
    """
    above_zero(settings, "scale")
    return partial(_normalised_network, task, settings)


def _normalised_network(task: Task, settings: Settings) -> Network:
    network = task.network(settings, False)
    network.classifier = NormalisedClassifier(network.features, task.num_classes, float(settings["scale"]))
    return network


def _cosine_network(task: Task, settings: Settings) -> Network:
    network = task.network(settings, True)
    network.classifier = CosineClassifier(network.features, task.num_classes, float(settings["scale"]))
    return network
