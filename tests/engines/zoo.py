"""A zoo of tiny models that every engine is driven through: one case each for what makes group gradients hard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens.groups import ClassGroups
from gradlens.longtail.networks.resnet_cifar import ResNetCifar
from tests.engines.networks import (
    CLASSES,
    ROWS,
    BagOfWords,
    CrossAttention,
    MultiheadTransformer,
    Pooled,
    QkvTransformer,
    Recurrent,
    Shared,
    TiedClassifier,
    TiedLanguageModel,
    TwoInputs,
    convolutions,
    evaluated_batch_norm,
    mlp,
    partly_frozen,
    torchvision_convnext,
    torchvision_resnet18,
    torchvision_transformer,
    weight_parametrized,
)

GROUPS = ClassGroups({"head": range(3), "medium": [3, 4], "tail": [5]}, CLASSES)


def per_row(output: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of every row, [*labels] ([B] for soft labels)."""
    return F.cross_entropy(output, labels, reduction="none")


def per_token(output: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of [B, T, C] at labels [B, T]."""
    return F.cross_entropy(output.transpose(1, 2), labels, reduction="none")


def class_ids(*shape: int) -> Callable[[], Tensor]:
    """Class ids of which every class occurs, in shuffled order."""

    def make() -> Tensor:
        total = int(torch.tensor(shape).prod())
        return (torch.randperm(total) % CLASSES).reshape(shape)

    return make


ONE_EACH = class_ids(ROWS)


@dataclass(frozen=True)
class Case:
    """One model with data; ``loss`` returns the loss of every row, the training loss is its mean."""

    model: Callable[[], nn.Module]
    inputs: Callable[[], tuple[Tensor, ...]]
    labels: Callable[[], Tensor] = ONE_EACH
    loss: Callable[[Tensor, Tensor], Tensor] = per_row
    # engine -> what its refusal must say; every other engine must be exact.
    refuses: dict[str, str] = field(default_factory=dict)
    seed: int = 0

    def build(self) -> tuple[nn.Module, tuple[Tensor, ...], Tensor]:
        """Returns (model, inputs, labels), the same every time."""
        torch.manual_seed(self.seed)
        return self.model(), self.inputs(), self.labels()


def images(size: int = 8, channels: int = 3) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: (torch.randn(ROWS, channels, size, size),)


def vectors(*shape: int) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: (torch.randn(ROWS, *shape),)


def tokens(length: int = 5, vocabulary: int = CLASSES) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: (torch.randint(vocabulary, (ROWS, length)),)


def soft_labels() -> Tensor:
    """Mixed labels, not all of mass 1."""
    return torch.softmax(3 * torch.randn(ROWS, CLASSES), 1) * torch.linspace(0.5, 1.5, ROWS)[:, None]


ATTENTION_DROPOUT = {"split": "attention dropout .*attention: MultiheadAttention"}
PARAMETRIZED = {"split": r"no rule for this layer .*0\.parametrizations\.weight: ParametrizationList"}
UNCOVERED_SUBCLASS = {"split": "parameter weight of .*LayerNorm2d"}
BATCH_NORM = {"split": "train-mode BatchNorm mixes"}
TOKENS = {"split": "several rows to one sample"}

ZOO: dict[str, Case] = {
    "mlp": Case(mlp, vectors(5)),
    "mlp-soft-labels": Case(mlp, vectors(5), soft_labels),
    "mlp-on-tokens": Case(mlp, vectors(4, 5), class_ids(ROWS, 4), per_token, TOKENS),
    "weight-norm": Case(weight_parametrized, vectors(5), refuses=PARAMETRIZED),
    "inplace-relu": Case(lambda: mlp(inplace=True), vectors(5)),
    "two-inputs": Case(TwoInputs, lambda: (torch.randn(ROWS, 4), torch.randn(ROWS, 3))),
    "shared-module": Case(Shared, vectors(4)),
    "cnn-batchnorm": Case(
        lambda: Pooled(6, nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(True)), images(), refuses=BATCH_NORM
    ),
    "cnn-groupnorm": Case(lambda: Pooled(6, nn.Conv2d(3, 6, 3), nn.GroupNorm(2, 6), nn.ReLU(True)), images()),
    "cnn-instancenorm": Case(lambda: Pooled(6, nn.Conv2d(3, 6, 3), nn.InstanceNorm2d(6), nn.ReLU()), images()),
    "cnn-eval-batchnorm": Case(evaluated_batch_norm, images()),
    "cnn-soft-labels": Case(
        lambda: Pooled(6, nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU()), images(), soft_labels, refuses=BATCH_NORM
    ),
    "convolutions": Case(convolutions, images()),
    "conv1d": Case(lambda: Pooled(5, nn.Conv1d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv1d(4, 5, 2)), vectors(3, 7)),
    "conv3d": Case(lambda: Pooled(4, nn.Conv3d(2, 4, 2, stride=(1, 2, 1)), nn.Tanh()), vectors(2, 4, 4, 3)),
    "partly-frozen": Case(partly_frozen, images()),
    "segmentation": Case(
        lambda: nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, CLASSES, 1)),
        images(4),
        class_ids(ROWS, 4, 4),
        refuses=TOKENS,
    ),
    "prelu": Case(lambda: Pooled(6, nn.Conv2d(3, 6, 3), nn.PReLU(6), nn.Conv2d(6, 6, 3), nn.PReLU()), images()),
    "bag-of-words": Case(BagOfWords, tokens(vocabulary=9)),
    "tied-language-model": Case(TiedLanguageModel, tokens(), class_ids(ROWS, 5), per_token, TOKENS),
    "tied-classifier": Case(TiedClassifier, tokens()),
    "lstm": Case(Recurrent, tokens(), refuses={"split": r"no rule for this layer .*lstm: LSTM"}),
    "vit-qkv": Case(QkvTransformer, images()),
    "vit-multihead": Case(MultiheadTransformer, images()),
    "vit-multihead-dropout": Case(
        lambda: MultiheadTransformer(0.2),
        images(),
        refuses=ATTENTION_DROPOUT,
    ),
    "cross-attention": Case(
        CrossAttention, lambda: (torch.randn(ROWS, 4, 8), torch.randn(ROWS, 3, 3), torch.randn(ROWS, 3, 5))
    ),
    "torchvision-vit": Case(torchvision_transformer(0.0), images()),
    "torchvision-vit-dropout": Case(torchvision_transformer(0.1), images(), refuses=ATTENTION_DROPOUT),
    "torchvision-convnext": Case(torchvision_convnext, images(16), refuses=UNCOVERED_SUBCLASS),
    "torchvision-resnet18": Case(torchvision_resnet18, images(32), refuses=BATCH_NORM),
    "resnet32-batchnorm": Case(lambda: ResNetCifar(32, CLASSES), images(8), refuses=BATCH_NORM),
    "resnet32-groupnorm": Case(lambda: ResNetCifar(32, CLASSES, norm="group"), images(8)),
}
