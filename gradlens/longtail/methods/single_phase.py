"""The methods with one phase that trains all classes: ``ce``, ``plain`` and ``plain-2t``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.common import check_classes, cosine_network, positive, prefixes, schedule, sgd
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.parts.cifar_recipe import cifar_recipe
from gradlens.longtail.methods.parts.photos_recipe import kang_recipes
from gradlens.longtail.methods.terms import cross_entropy
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.phases import Forward, LossOfStep, TrainingPhase, classify
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.recipe.visiting import visiting

SCALE = Setting(10.0, "gradlens: the paper names no initial scale")


def later_settings(source: str) -> dict[str, Setting]:
    """Returns settings that came later to methods with plain SGD on all parameters.

    Args:
        source: The paper that trains in this way.
    """
    return {
        "nesterov": Setting(False, source),
        "trained_parts": Setting("", f"{source}: all; else beginnings of parameter names, with commas"),
        "moving_parts": Setting(
            "", "gradlens: of the frozen modules, those whose BatchNorm statistics move; all, as in Kang et al. 2020"
        ),
    }


def ordinary(source: str) -> dict[str, Setting]:
    """Returns the settings of one phase with a linear classifier and plain shuffling.

    Args:
        source: The paper that trains in this way.
    """
    return {
        "classifier": Setting("linear", source),
        "scale": SCALE,
        "sampler": Setting("shuffled", source),
        "compute": Setting(1, "gradlens: multiple of the epochs"),
        **later_settings(source),
    }


def one_phase(
    method: str,
    task: Task,
    settings: Settings,
    loss: LossOfStep = cross_entropy,
    *,
    network: Callable[[], Network] | None = None,
    forward: Forward = classify,
) -> Recipe:
    """Returns the recipe that trains on all classes at once.

    Args:
        method: Name of the method.
        task: The task.
        settings: The settings of the data set, and "sampler", "compute" and, without ``network``, "classifier" and "scale".
        loss: The loss that is minimised.
        network: Makes the network; None = the task's, with the classifier "linear" or "cosine" of the settings.
        forward: The forward pass.

    Raises:
        LongTailError: The task has a single class, or a setting has a value that it cannot have.
    """
    check_classes(method, task)
    trained = prefixes(settings, "trained_parts")
    phase = TrainingPhase(
        name="all classes",
        epochs=positive(settings, "epochs") * positive(settings, "compute"),
        losses={"classification": loss},
        batch=positive(settings, "batch"),
        visiting=visiting(settings["sampler"]),
        sgd=sgd(settings),
        schedule=schedule(settings),
        forward=forward,
        trainable=trained,
        moving=() if trained == ("",) else prefixes(settings, "moving_parts"),
    )
    return Recipe(method, (phase,), network or _network(task, settings), settings)


def _network(task: Task, settings: Settings) -> Callable[[], Network]:
    kind = settings["classifier"]
    if kind not in ("linear", "cosine"):
        raise LongTailError(f"classifier={kind!r}; choose 'linear' or 'cosine'")
    return cosine_network(task, settings) if kind == "cosine" else partial(task.network, settings, False)


def _plain(name: str, summary: str, compute: int) -> Method:
    table = {
        "classifier": Setting("cosine", "paper, Section 3.2; 'plain' itself is not defined there"),
        "scale": SCALE,
        "sampler": Setting("progressive", "paper, Section 3.2 (Kang et al. 2020)"),
        "compute": Setting(compute, "gradlens: multiple of the epochs"),
    }
    return Method(name, summary, table, partial(one_phase, name))


CE = Method(
    "ce",
    "cross-entropy, linear classifier, plain shuffling",
    ordinary("Cao et al. 2019"),
    partial(one_phase, "ce"),
    presets={"cifar100-lt": cifar_recipe("Cao et al. 2019, cifar_train.py"), **kang_recipes()},
)
PLAIN = _plain("plain", "the paper's 'plain': cosine classifier, progressive sampling, all classes at once", 1)
PLAIN_2T = _plain("plain-2t", "plain for twice the epochs, at least the compute of both phases", 2)

METHODS = (CE, PLAIN, PLAIN_2T)
