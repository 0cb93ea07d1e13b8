"""The networks of the zoo: one small one for each thing that makes group gradients hard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

CLASSES = 6
ROWS = 8


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
