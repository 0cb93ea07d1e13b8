"""Small networks, with shapes for which a GPU uses its special kernels (cuDNN, tensor cores, fused attention), and batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens.groups import ClassGroups
from gradlens.longtail.networks.resnet_cifar import ResNetCifar

CLASSES = 16
GROUPS = ClassGroups({"head": range(8), "medium": range(8, 13), "tail": range(13, 16)}, CLASSES)


class Sequence(nn.Module):
    """A classifier of sequences: an embedding, a recurrent network, and a linear layer on its last state."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.embed, self.recurrent, self.head = nn.Embedding(64, 32), kind(32, 64, 2, batch_first=True), None
        self.head = nn.Linear(64, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps [B, T] tokens to [B, C] logits."""
        return self.head(self.recurrent(self.embed(tokens))[0][:, -1])


class Block(nn.Module):
    """A transformer block with fused attention."""

    def __init__(self, width: int, heads: int, causal: bool, dropout: float) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.heads, self.causal, self.dropout = heads, causal, nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, T, width] to [B, T, width]."""
        q, k, v = self.qkv(self.first(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))
        return x + self.mlp(self.second(x))


class Transformer(nn.Module):
    """A transformer: a language model with logits for each token, or a classifier with logits for each sequence."""

    def __init__(
        self, vocabulary: int, outputs: int, length: int, width: int, depth: int, heads: int, *, language: bool
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(0.02 * torch.randn(length, width))
        self.blocks = nn.Sequential(*(Block(width, heads, language, 0.1) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, outputs, bias=False)
        self.language = language
        if language:
            self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps [B, T] tokens to [B, T, C] logits (language model) or [B, C] logits (classifier)."""
        x = self.blocks(self.embed(tokens) + self.position)
        return self.head(self.norm(x if self.language else x.mean(1)))


def mlp() -> nn.Module:
    """Returns a network of three linear layers with dropout."""
    return nn.Sequential(
        nn.Linear(32, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, CLASSES)
    )


def convolutions() -> nn.Module:
    """Returns a network of strided, grouped and dilated convolutions in the channels-last layout."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1, groups=4), nn.GELU(),
        nn.Conv2d(32, 32, 3, dilation=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, CLASSES),
    ).to(memory_format=torch.channels_last)  # fmt: skip


def vision_transformer() -> nn.Module:
    """Returns a small vision transformer of torchvision, which uses nn.MultiheadAttention."""
    from torchvision.models import VisionTransformer

    model = VisionTransformer(32, 8, 2, 4, 64, 128, num_classes=CLASSES, dropout=0.1)
    nn.init.normal_(model.heads.head.weight, std=0.1)  # torchvision starts with zeros, so layers below had no gradient
    return model


def resnet18() -> nn.Module:
    """Returns the ResNet-18 of torchvision, with BatchNorm."""
    from torchvision.models import resnet18

    return resnet18(num_classes=CLASSES)


def images(batch: int) -> Tensor:
    """Returns [B, 3, 32, 32] random images."""
    return torch.randn(batch, 3, 32, 32)


def tokens(batch: int) -> Tensor:
    """Returns [B, 24] random tokens."""
    return torch.randint(CLASSES, (batch, 24))


@dataclass(frozen=True)
class Network:
    """A model and its training batches.

    Attributes:
        build: Makes the model on the CPU.
        inputs: Makes [B, ...] inputs for a batch size B.
        per_token: True if labels are [B, T], one for each token; False if they are [B].
    """

    build: Callable[[], nn.Module]
    inputs: Callable[[int], Tensor]
    per_token: bool = False

    def batch(self, size: int, device: str) -> tuple[Tensor, Tensor]:
        """Returns (inputs, labels) from the generator of the CPU. If there are enough rows, every class occurs."""
        inputs = self.inputs(size)
        count = inputs.numel() if self.per_token else size
        labels = torch.randperm(count) % CLASSES
        return inputs.to(device), (labels.view_as(inputs) if self.per_token else labels).to(device)

    def rows(self, output: Tensor, labels: Tensor) -> Tensor:
        """Returns the loss of each row, in the shape of the labels."""
        return F.cross_entropy(output.movedim(-1, 1), labels, reduction="none")


NETWORKS: dict[str, Network] = {
    "mlp": Network(mlp, lambda batch: torch.randn(batch, 32)),
    "convolutions": Network(convolutions, images),
    "resnet32-batchnorm": Network(lambda: ResNetCifar(32, CLASSES), images),
    "resnet32-groupnorm": Network(lambda: ResNetCifar(32, CLASSES, norm="group"), images),
    "torchvision-resnet18": Network(resnet18, images),
    "torchvision-vit": Network(vision_transformer, images),
    "gru": Network(lambda: Sequence(nn.GRU), tokens),
    "lstm": Network(lambda: Sequence(nn.LSTM), tokens),
    "attention": Network(lambda: Transformer(CLASSES, CLASSES, 24, 64, 2, 4, language=False), tokens),
    "language-model": Network(
        lambda: Transformer(CLASSES, CLASSES, 24, 64, 2, 4, language=True), tokens, per_token=True
    ),
}
SMALL = ("mlp", "convolutions", "gru", "language-model")
