"""What packages compute under the names of SAME_NAME.md. A package that is not installed is skipped.

GRADLENS_PACKAGES names a folder with further packages, as `pip install --target` makes it.
"""

import os
import re
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

import gradlens.longtail.methods as methods
from gradlens.longtail.methods.class_balanced_ce import WeightedCrossEntropy
from gradlens.longtail.methods.class_balanced_focal import SigmoidFocal
from gradlens.longtail.methods.focal import SoftmaxFocal
from gradlens.longtail.methods.parts.class_weights import class_balanced_weights

N, C = 7, 5
COUNTS = [50, 20, 10, 5, 2]
LABELS = torch.tensor([0, 1, 2, 3, 4, 0, 1])
LOGITS = 2 * torch.randn(N, C, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
ONE_HOT = F.one_hot(LABELS, C).double()
PAGE = (Path(methods.__file__).parent / "SAME_NAME.md").read_text()


@pytest.fixture(autouse=True)
def packages(monkeypatch):
    if folder := os.environ.get("GRADLENS_PACKAGES"):
        monkeypatch.syspath_prepend(folder)


def of(module, package):
    """Returns a module of a package; skips if it is not installed, or not in the version that the page names."""
    named = re.search(rf"{package} ([\d.]+)", PAGE)[1]
    found = pytest.importorskip(module)
    there = version(package).partition("+")[0]
    if not there.startswith(named):
        pytest.skip(f"{package} {there} is installed, and the page is about {named}")
    return found


def softmax_form():
    p = LOGITS.softmax(1)[range(N), LABELS]
    return float((-((1 - p) ** 2) * p.log()).mean())


def sigmoid_form():
    s = LOGITS.sigmoid()
    q = torch.where(ONE_HOT == 1, s, 1 - s)
    return float((-((1 - q) ** 2) * q.log()).sum() / N)


def step():
    return SimpleNamespace(logits=LOGITS, labels=LABELS)


FOCAL = {
    "cbloss": ("cbloss.loss", lambda m: m.FocalLoss(C)(LOGITS, LABELS), softmax_form, 1),
    "focal-loss-torch": (
        "focal_loss.focal_loss", lambda m: m.FocalLoss(gamma=2)(LOGITS.softmax(1), LABELS), softmax_form, 1,
    ),
    "imbalanced-losses": ("imbalanced_losses", lambda m: m.SoftmaxFocalLoss()(LOGITS, LABELS), softmax_form, 1),
    "timm": ("timm.loss", lambda m: m.AsymmetricLossSingleLabel(2, 4, eps=0.0)(LOGITS, LABELS), softmax_form, 1),
    "kornia": (
        "kornia.losses", lambda m: m.focal_loss(LOGITS, LABELS, alpha=None, reduction="mean"), softmax_form, 1 / C,
    ),
    "monai": (
        "monai.losses",
        lambda m: m.FocalLoss(use_softmax=True, to_onehot_y=True)(LOGITS, LABELS[:, None]), softmax_form, 1 / C,
    ),
    "monai, default": (
        "monai.losses", lambda m: m.FocalLoss(to_onehot_y=True)(LOGITS, LABELS[:, None]), sigmoid_form, 1 / C,
    ),
    "balanced-loss": ("balanced_loss", lambda m: m.Loss("focal_loss")(LOGITS, LABELS), sigmoid_form, 1),
    "segmentation-models-pytorch": (
        "segmentation_models_pytorch.losses", lambda m: m.FocalLoss("multiclass")(LOGITS, LABELS), sigmoid_form, 1 / C,
    ),
    "pytorch-optimizer": ("pytorch_optimizer", lambda m: m.FocalLoss()(LOGITS, ONE_HOT), sigmoid_form, 1 / C),
    "torchvision": (
        "torchvision.ops", lambda m: m.sigmoid_focal_loss(LOGITS, ONE_HOT, alpha=-1).sum(), sigmoid_form, N,
    ),
}  # fmt: skip


@pytest.mark.parametrize("package", FOCAL)
def test_focal_losses(package):
    module, loss, form, factor = FOCAL[package]
    found = loss(of(module, package.partition(",")[0]))
    assert float(found) == pytest.approx(factor * form(), rel=1e-6)


def test_the_focal_losses_of_gradlens():
    assert float(SoftmaxFocal(2.0)(step())) == pytest.approx(softmax_form(), rel=1e-12)
    weights = torch.ones(C, dtype=torch.float64)
    assert float(SigmoidFocal(weights, 2.0)(step())) == pytest.approx(sigmoid_form(), rel=1e-12)


def cui():
    weights = class_balanced_weights(torch.tensor(COUNTS).double(), 0.9)
    losses = F.cross_entropy(LOGITS, LABELS, reduction="none")
    return weights, float((weights[LABELS] * losses).sum() / N)


def test_class_balanced_losses_of_packages():
    balanced = of("balanced_loss", "balanced-loss").Loss(
        "cross_entropy", beta=0.9, samples_per_class=COUNTS, class_balanced=True
    )
    assert float(balanced(LOGITS, LABELS)) == pytest.approx(cui()[1], rel=1e-6)
    each = torch.nn.CrossEntropyLoss(reduction="none")
    other = of("cbloss.loss", "cbloss").ClassBalancedLoss(COUNTS, 0.9, C, each)
    assert float(other(LOGITS, LABELS)) == pytest.approx(cui()[1], rel=1e-6)


def test_class_balanced_losses_of_gradlens_and_pytorch():
    weights, by_samples = cui()
    assert float(WeightedCrossEntropy(weights, "samples")(step())) == pytest.approx(by_samples)
    by_weights = by_samples * N / float(weights[LABELS].sum())
    assert by_weights != pytest.approx(by_samples, rel=0.01)
    assert float(F.cross_entropy(LOGITS, LABELS, weight=weights)) == pytest.approx(by_weights)
    assert float(WeightedCrossEntropy(weights, "weights")(step())) == pytest.approx(by_weights)


@pytest.mark.parametrize("logit", [50.0, 100.0])
def test_very_wrong_predictions(logit):
    right = torch.tensor([[-logit, 0.0, 0.0]], requires_grad=True)
    loss = of("balanced_loss", "balanced-loss").Loss("focal_loss")(right, torch.tensor([0]))
    loss.backward()
    # 1 + exp(100) is infinite in float32: the loss of the true class vanishes
    assert (float(loss.detach()) > logit) == (logit == 50.0)
    assert bool(right.grad.isnan().any()) == (logit == 100.0)
    wrong = torch.tensor([[-logit, 0.0, 0.0]], requires_grad=True)
    stopped = of("focal_loss.focal_loss", "focal-loss-torch").FocalLoss(gamma=2)(wrong.softmax(1), torch.tensor([0]))
    stopped.backward()
    assert float(stopped.detach()) == pytest.approx(36.84, abs=0.01)
    assert float(wrong.grad.abs().max()) < 1e-5


def drawn(labels, sampler):
    return torch.bincount(labels[list(sampler)], minlength=3) / len(sampler)


def test_samplers():
    labels = torch.tensor([0] * 90 + [1] * 8 + [2] * 2)
    data = torch.utils.data.TensorDataset(torch.zeros(100, 1), labels)
    sampler = of("torchsampler", "torchsampler").ImbalancedDatasetSampler
    torch.manual_seed(0)
    order = torch.randperm(100).tolist()
    in_order = drawn(labels, sampler(data, labels=labels.tolist(), num_samples=30_000))
    unsorted = drawn(labels, sampler(data, labels=labels[order].tolist(), indices=order, num_samples=30_000))
    assert in_order.tolist() == pytest.approx([1 / 3] * 3, abs=0.02)
    assert unsorted[0] > 0.7
    metric = of("pytorch_metric_learning.samplers", "pytorch-metric-learning").MPerClassSampler(labels, 2)
    assert len(metric) == 99_996
    assert drawn(labels, metric).tolist() == pytest.approx([1 / 3] * 3)


def test_macro_accuracy_of_a_group():
    accuracy = of("torchmetrics.functional", "torchmetrics").accuracy
    predicted, labels = torch.tensor([0, 2, 1, 2]), torch.tensor([0, 0, 1, 1])
    found = accuracy(predicted, labels, task="multiclass", num_classes=3, average="macro")
    assert float(found) == pytest.approx(1 / 3)


LENGTHS = {
    "PCGrad": 2**0.5,
    "GradVac": 2**0.5,
    "ConFIG": 2**0.5,
    "Mean": 0.5**0.5,
    "UPGrad": 0.5**0.5,
    "MGDA": 0.5**0.5,
}


@pytest.mark.parametrize("name", [*LENGTHS, "CAGrad"])
def test_aggregators(name):
    of("torchjd", "TorchJD")
    try:
        aggregator = getattr(import_module("torchjd.aggregation"), name)(**({"c": 0.5} if name == "CAGrad" else {}))
    except ImportError as error:
        pytest.skip(str(error))
    assert float(aggregator(torch.eye(2, 3)).norm()) == pytest.approx(LENGTHS.get(name, 1.06), abs=0.01)
    with_zeros = aggregator(torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    if name in ("PCGrad", "GradVac", "ConFIG"):
        assert with_zeros.tolist() == pytest.approx([1, 0, 0])
    if name in ("MGDA", "CAGrad"):
        assert float(with_zeros.norm()) == pytest.approx(0, abs=1e-6)
