"""The methods with one phase that trains all classes: ``ce``, ``plain`` and ``plain-2t``."""

from __future__ import annotations

from functools import partial

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.common import cosine_network, positive, schedule, sgd
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.terms import cross_entropy
from gradlens.longtail.recipe.phases import LossOfStep, TrainingPhase
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.recipe.visiting import visiting

SCALE = Setting(10.0, "gradlens: the paper names no initial scale")


def one_phase(method: str, task: Task, settings: Settings, loss: LossOfStep = cross_entropy) -> Recipe:
    """Returns the recipe that trains on all classes at once.

    Args:
        method: Name of the method.
        task: The task.
        settings: The settings of the data set, and "classifier" ("linear" or "cosine"), "sampler" and "compute".
        loss: The loss that is minimised.

    Raises:
        LongTailError: A setting has a value that it cannot have.
    """
    kind = settings["classifier"]
    if kind not in ("linear", "cosine"):
        raise LongTailError(f"classifier={kind!r}; choose 'linear' or 'cosine'")
    phase = TrainingPhase(
        name="all classes",
        epochs=positive(settings, "epochs") * positive(settings, "compute"),
        losses={"classification": loss},
        batch=positive(settings, "batch"),
        visiting=visiting(settings["sampler"]),
        sgd=sgd(settings),
        schedule=schedule(settings),
    )
    build = cosine_network(task, settings) if kind == "cosine" else partial(task.network, settings, False)
    return Recipe(method, (phase,), build, settings)


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
    {
        "classifier": Setting("linear", "Cao et al. 2019"),
        "scale": SCALE,
        "sampler": Setting("shuffled", "Cao et al. 2019"),
        "compute": Setting(1, "gradlens: multiple of the epochs"),
    },
    partial(one_phase, "ce"),
)
PLAIN = _plain("plain", "the paper's 'plain': cosine classifier, progressive sampling, all classes at once", 1)
PLAIN_2T = _plain("plain-2t", "plain for twice the epochs, at least the compute of both phases", 2)

METHODS = (CE, PLAIN, PLAIN_2T)
