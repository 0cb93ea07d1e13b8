"""A zoo of tiny models that every engine is driven through: one case each for what makes group gradients hard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens.groups import ClassGroups
from gradlens.longtail.networks.resnet_cifar import ResNetCifar

CLASSES = 6
GROUPS = ClassGroups({"head": range(3), "medium": [3, 4], "tail": [5]}, CLASSES)
ROWS = 8


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


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.head = nn.Linear(4, 8), nn.Linear(3, 8), nn.Linear(16, CLASSES)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.head(torch.cat([self.left(a).relu(), self.right(b).tanh()], 1))


class Shared(nn.Module):
    """One layer used twice in a forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.norm, self.head = (
            nn.Linear(4, 7),
            nn.Linear(7, 7),
            nn.LayerNorm(7),
            nn.Linear(7, CLASSES),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = self.norm(self.again(x)).relu()
        return self.head(self.norm(self.again(x) + x))


class Attention(nn.Module):
    """Pre-norm self-attention with a qkv Linear and dropout on the attention and on the residual."""

    def __init__(self, width: int = 8, heads: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.dropout = heads, nn.Dropout(dropout)

    def forward(self, x: Tensor, causal: bool = False) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # [B, heads, T, d]
        score = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        if causal:
            length = x.shape[1]
            score = score.masked_fill(torch.ones(length, length, dtype=torch.bool).triu(1), float("-inf"))
        mixed = self.dropout(score.softmax(-1)) @ v
        return x + self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))


class QkvTransformer(nn.Module):
    """A ViT whose attention is written with Linear layers, with class token, positions and layer scale."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.token, self.position = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, 5, 8))
        self.attention, self.scale = Attention(dropout=dropout), nn.Parameter(torch.rand(8))
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.head(self.norm(x + self.scale * self.attention(x))[:, 0])


class MultiheadTransformer(nn.Module):
    """A ViT on nn.MultiheadAttention."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.attention = nn.MultiheadAttention(8, 2, dropout=dropout, batch_first=True)
        self.norm, self.drop, self.head = nn.LayerNorm(8), nn.Dropout(0.1), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        y = self.norm(x)
        return self.head((x + self.drop(self.attention(y, y, y)[0])).mean(1))


class CrossAttention(nn.Module):
    """Attention with separate projections, a mask for padding, and a bias row."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, kdim=3, vdim=5, add_bias_kv=True, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        padding = torch.zeros(k.shape[:2], dtype=torch.bool)
        padding[::2, -1] = True
        return self.head(self.attention(q, k, v, key_padding_mask=padding, need_weights=False)[0].mean(1))


class TiedLanguageModel(nn.Module):
    """A causal language model whose output layer is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.attention = nn.Embedding(CLASSES, 8), Attention()
        self.head = nn.Linear(8, CLASSES, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(self.embed(x), causal=True))  # [B, T, C]


class TiedClassifier(TiedLanguageModel):
    """The same network, one label for each sequence."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).mean(1)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm, self.head = (
            nn.Embedding(CLASSES, 5),
            nn.LSTM(5, 7, batch_first=True),
            nn.Linear(7, CLASSES),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(self.embed(x))[0][:, -1])


class BagOfWords(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Embedding(9, 6, padding_idx=0), nn.RMSNorm(6)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.embed(x).sum(1)))


class Pooled(nn.Sequential):
    """A stack of layers, the mean over all positions, a classifier."""

    def __init__(self, width: int, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.last = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        for layer in list(self)[:-1]:
            x = layer(x)
        return self.last(x.flatten(2).mean(2))


def mlp(inplace: bool = False) -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, 8), nn.ReLU(inplace), nn.Linear(8, 8, bias=False), nn.ReLU(inplace), nn.Linear(8, CLASSES)
    )


def weight_parametrized() -> nn.Module:
    first = nn.utils.parametrizations.weight_norm(nn.Linear(5, 8))
    return nn.Sequential(first, nn.ReLU(), nn.Linear(8, CLASSES))


def evaluated_batch_norm() -> nn.Module:
    model = Pooled(6, nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
    for _ in range(3):
        model(torch.randn(ROWS, 3, 8, 8) * 2 + 1)
    return model.eval()


def partly_frozen() -> nn.Module:
    model = Pooled(6, nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.GELU())
    model[0].requires_grad_(False)
    model[1].bias.requires_grad_(False)
    model[3].weight.requires_grad_(False)
    return model


def convolutions() -> nn.Module:
    return Pooled(
        8,
        nn.Conv2d(3, 6, 3, stride=2, padding=2, groups=3),
        nn.GELU(),
        nn.Conv2d(6, 6, (3, 2), dilation=(1, 2), padding="same", bias=False),
        nn.Conv2d(6, 4, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(4, 8, 2, padding=(1, 0), padding_mode="reflect", groups=2),
        nn.Conv2d(8, 8, 2, padding="valid"),
    )


def torchvision_resnet18() -> nn.Module:
    return pytest.importorskip("torchvision").models.resnet18(num_classes=CLASSES)


def torchvision_transformer(attention_dropout: float) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        models = pytest.importorskip("torchvision").models
        model = models.VisionTransformer(
            8, 4, 2, 2, 8, 16, num_classes=CLASSES, dropout=0.1, attention_dropout=attention_dropout
        )
        nn.init.normal_(model.heads.head.weight)  # zero at first: nothing below it would have a gradient
        return model

    return make


def torchvision_convnext() -> nn.Module:
    convnext = pytest.importorskip("torchvision").models.convnext
    block = convnext.CNBlockConfig(6, None, 2)
    return convnext.ConvNeXt([block], stochastic_depth_prob=0.3, layer_scale=0.5, num_classes=CLASSES)


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
