"""The paper's method: phase I trains the head alone, phase II the tail with a memory of the head (Algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.common import cosine_network, head_classes, not_negative, positive, schedule, sgd
from gradlens.longtail.methods.head_classes import OLD, HeadClasses, cosine_classifier
from gradlens.longtail.methods.method import Method
from gradlens.longtail.methods.parts.exemplars import EXEMPLAR_RULES, ExemplarRule, select_exemplars
from gradlens.longtail.methods.parts.intra import intra_class_loss
from gradlens.longtail.methods.parts.retention import retention_loss, retention_weight
from gradlens.longtail.methods.single_phase import SCALE
from gradlens.longtail.methods.terms import cross_entropy
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.learner import Learner, derived_seed
from gradlens.longtail.recipe.phases import LossOfStep, Step, TrainingPhase
from gradlens.longtail.recipe.recipe import Recipe
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.recipe.visiting import visiting


@dataclass(frozen=True)
class Memory:
    """The exemplar memory M (Equations 2-5).

    Attributes:
        head: The classes whose images it keeps.
        per_class: Images per class. A class with fewer images keeps all of them.
        selection: How the images are chosen.
    """

    head: HeadClasses
    per_class: int
    selection: ExemplarRule

    def with_tail(self, learner: Learner) -> Tensor:
        """Returns the positions of the training images of phase II: M and X2.

        M is chosen with the features of the network at the end of phase I.
        """
        positions = self.head.images(learner)
        generator = torch.Generator().manual_seed(derived_seed(learner.seed, "memory"))
        chosen = select_exemplars(
            learner.features(positions),
            learner.train.labels[positions].to(learner.device),
            self.per_class,
            method=self.selection,
            generator=generator,
        )
        memory = positions[chosen]
        sizes = torch.bincount(learner.train.labels[positions])
        learner.notes["memory_images"] = len(memory)
        learner.notes["classes_smaller_than_memory"] = int(((sizes > 0) & (sizes < self.per_class)).sum())
        return torch.cat([memory, self.head.tail_images(learner)])


@dataclass(frozen=True)
class Retention:
    """The memory-retentive loss as a term of phase II (Equations 6-8), with its weight lambda.

    Attributes:
        weight: lambda of Equation 9.
        tau: Temperature.
        reduction: "mean" over the batch, or "sum" as the paper writes it.
        detach: True if no gradient flows through the weights a_ji.
    """

    weight: float
    tau: float
    reduction: Literal["mean", "sum"]
    detach: bool

    def __call__(self, step: Step) -> Tensor:
        """Returns lambda L_dis of the batch, a scalar."""
        with torch.no_grad():
            old = step.gathered(cast(Network, step.learner.modules[OLD]).embed(step.images))
        return self.of(old, step.features)

    def of(self, old: Tensor, new: Tensor) -> Tensor:
        """Returns lambda L_dis, a scalar, from the old and the new features [B, d]."""
        return self.weight * retention_loss(old, new, self.tau, self.reduction, self.detach)


@dataclass(frozen=True)
class IntraClass:
    """The intra-class margin loss as a term of phase II (in Equation 9).

    Attributes:
        head: The old classes.
        margin: Demanded difference between the cosines.
        hardest: Number of negatives per sample; None = all.
        negatives: Which classes are negatives: "new" classes or "all".
        samples: Which samples count: those of the "memory" or "all".
    """

    head: HeadClasses
    margin: float
    hardest: int | None
    negatives: Literal["new", "all"]
    samples: Literal["memory", "all"]

    def __call__(self, step: Step) -> Tensor:
        """Returns L_intra of the batch, a scalar."""
        scores = step.with_rows(cosine_classifier(step.learner.model).cosines)
        return self.of(scores, step.labels)

    def of(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Returns L_intra, a scalar, from cosines [B, C] and labels [B]."""
        return intra_class_loss(
            scores,
            labels,
            self.head.size,
            margin=self.margin,
            hardest=self.hardest,
            negatives=self.negatives,
            samples=self.samples,
        )


def _recipe(task: Task, settings: Settings) -> Recipe:
    head = HeadClasses(head_classes(task, settings["head_classes"]))
    weight = settings["retention_weight"]
    if weight is None:
        weight = retention_weight(head.size, task.num_classes - head.size)
        settings = settings.plus(
            {
                "retention_weight": Setting(
                    weight, "sqrt(C1 / C2), Appendix A (the ablation's sqrt(C / C1) is a slip)", float
                )
            }
        )
    if settings["selection"] not in EXEMPLAR_RULES:
        raise LongTailError(f"selection={settings['selection']!r}; choose one of {', '.join(EXEMPLAR_RULES)}")
    weight = not_negative(settings, "retention_weight")
    first = head.first_phase(settings)
    second = TrainingPhase(
        name="II",
        epochs=first.epochs if settings["epochs_2"] is None else positive(settings, "epochs_2"),
        losses=_losses(head, settings, weight),
        batch=positive(settings, "batch"),
        visiting=visiting(settings["sampler_2"]),
        sgd=sgd(settings, settings["learning_rate_2"]),
        schedule=schedule(settings),
        structure=head.extend,
        initialise=head.imprint if settings["imprint"] else None,
        select=Memory(head, positive(settings, "memory"), settings["selection"]).with_tail,
    )
    return Recipe("dual-phase", (first, second), cosine_network(task, settings), settings)


def _losses(head: HeadClasses, settings: Settings, weight: float) -> dict[str, LossOfStep]:
    """Returns the terms of Equation 9. A term that is switched off is absent, not zero.

    Raises:
        LongTailError: A term cannot work with its settings. This is found now, not after phase I.
    """
    losses: dict[str, LossOfStep] = {"classification": cross_entropy}
    if settings["intra"]:
        intra = IntraClass(
            head,
            not_negative(settings, "intra_margin"),
            settings["intra_hardest"],
            settings["intra_negatives"],
            settings["intra_samples"],
        )
        intra.of(torch.zeros(1, head.size + 1), torch.zeros(1, dtype=torch.int64))
        losses["intra"] = intra
    if weight > 0:
        retention = Retention(weight, settings["tau"], settings["retention_reduction"], settings["retention_detach"])
        retention.of(torch.ones(1, 1), torch.ones(1, 1))
        losses["retention"] = retention
    return losses


_PRINTED = "paper, Section 3.2"
_SILENT = "gradlens: the paper does not say"
DUAL_PHASE = Method(
    "dual-phase",
    "the paper's method: head classes first, then the tail with a memory of the head",
    {
        "scale": SCALE,
        "head_classes": Setting(None, f"{_PRINTED}: classes with at least 20 images", int),
        "sampler": Setting("progressive", f"{_PRINTED} (Kang et al. 2020), restricted to the head"),
        "memory": Setting(10, "paper, Figure 2 (a): the best on Places-LT"),
        "selection": Setting("residual", "paper, Equations 2-5, without replacement"),
        "imprint": Setting(True, f"{_PRINTED} (Qi et al. 2018)"),
        "tau": Setting(0.05, "gradlens: at the literal 1 collapsed features have the smaller loss"),
        "retention_weight": Setting(None, "sqrt(C1 / C2), Appendix A", float),
        "retention_reduction": Setting("mean", "gradlens: Equation 8 is a sum, but the other losses are means"),
        "retention_detach": Setting(False, _SILENT),
        "intra": Setting(True, "paper, Equation 9"),
        "intra_margin": Setting(0.5, _SILENT),
        "intra_hardest": Setting(2, _SILENT, int),
        "intra_negatives": Setting("new", "gradlens: the stated purpose, not the formula"),
        "intra_samples": Setting("memory", "gradlens: the stated purpose, not the formula"),
        "epochs_2": Setting(None, "paper, Algorithm 1: as many as in phase I", int),
        "learning_rate_2": Setting(None, "paper, Algorithm 1: as in phase I", float),
        "sampler_2": Setting("shuffled", "paper, Algorithm 1: no sampler in phase II"),
    },
    _recipe,
)

METHODS = (DUAL_PHASE,)
