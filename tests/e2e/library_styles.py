"""The styles of training whose labels are found by where they come from: losses of libraries."""

from __future__ import annotations

from typing import Any

from tests.e2e import library_formulas as f
from tests.e2e.formulas import Formula
from tests.e2e.style import Style

PML, SMP = "pytorch_metric_learning", "segmentation_models_pytorch"
SMP_ = SMP.replace("_", "-")


def _loss(name: str, title: str, formula: Formula | None, needs: str = "", **facts: Any) -> Style:
    facts = {"first": 1, **facts}
    return Style(
        f"loss-{name.replace('_', '-').lower()}",
        "loss",
        title,
        "library_losses.py",
        (name,),
        formula,
        needs=needs,
        **facts,
    )


def _metric(kind: str, title: str, formula: Formula | None = None, **facts: Any) -> Style:
    return _loss(
        f"pml_{kind}", f"{title} (pytorch-metric-learning)", formula or f.of_rows(f.metric(kind)), PML, **facts
    )


def _misleading(kind: str, title: str, instead: str) -> Style:
    return Style(f"loss-{kind.replace('_', '-')}", "loss", title, "misleading.py", (kind,), None, instead=instead)


BOTH = "add --labels batch[1] or --labels batch[2]"
OPTION = "track with --labels batch[1]"
LIBRARY_STYLES = (
    _loss("adaptive", "AdaptiveLogSoftmaxWithLoss", f.adaptive),
    _loss("multilabel_soft_margin", "MultiLabelSoftMarginLoss: several classes for a sample", f.of_marks(f.soft_margin), first=0),
    _loss("multilabel_margin", "MultiLabelMarginLoss: lists of classes", f.of_marks(f.margin), first=0),
    _metric("SupConLoss", "supervised contrastive loss", f.of_rows(f.supcon)),
    _metric("TripletMarginLoss", "triplets", f.of_rows(f.triplet)),
    _metric("ContrastiveLoss", "pairs", f.of_rows(f.contrastive)),
    _metric("MultiSimilarityLoss", "multi-similarity loss"),
    _metric("NTXentLoss", "NT-Xent with labels"),
    _metric("CircleLoss", "circle loss"),
    _metric("ProxyAnchorLoss", "proxies; their own gradient is rest", f.proxies, rest=f.gradient_of_the_proxies),
    _loss("coral", "CORAL: ranks as thresholds (coral-pytorch)", f.of_rows(f.coral), "coral_pytorch"),
    _loss("corn", "CORN: ranks as conditions (coral-pytorch)", f.of_rows(f.corn), "coral_pytorch"),
    _loss("focal", "focal loss of probabilities (focal-loss-torch)", f.of_rows(f.focal_of_probabilities), "focal_loss"),
    _loss("kornia_focal", "focal loss of each class (Kornia)", f.of_rows(f.kornia_focal), "kornia"),
    _loss("smp_DiceLoss", f"Dice ({SMP_})", f.of_rows(f.smp_dice), SMP),
    _loss("smp_FocalLoss", f"focal loss of pixels ({SMP_})", f.of_rows(f.smp("FocalLoss", mode="multiclass")), SMP),
    _loss("smp_SoftCrossEntropyLoss", f"smoothed cross-entropy of pixels ({SMP_})", f.of_rows(f.smoothed_pixels), SMP),
    _loss("monai_DiceLoss", "Dice (MONAI)", f.of_rows(f.monai_dice), "monai"),
    _loss("monai_DiceFocalLoss", "Dice and focal loss (MONAI)", f.of_rows(f.monai_dice_focal), "monai"),
    _misleading("indices", "a loss module is given the samples' indices as labels", OPTION),
    _misleading("shuffled", "a loss module is given shuffled labels", OPTION),
    _misleading("teacher", "a loss module is given a teacher's labels", OPTION),
    _misleading("positions", "a loss module is given positions in the batch", OPTION),
    _misleading("two_columns", "one column of labels in a module, another in a formula", BOTH),
)  # fmt: skip
