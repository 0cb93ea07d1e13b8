"""The CIFAR ResNets (ResNet-20/32/44/56) of the long-tail literature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from gradlens.longtail.networks.cut import Cut, GlobalAverage
from gradlens.longtail.networks.network import Network

Norm = Literal["batch", "group"]
NORM_GROUPS = 8


class ShortcutA(nn.Module):
    """The option-A shortcut without parameters (He et al. 2016, Section 4.2): every second pixel, and zeros in new channels."""

    def __init__(self, extra_channels: int) -> None:
        super().__init__()
        self.before = extra_channels // 2
        self.after = extra_channels - extra_channels // 2

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, channels, H, W] to [B, channels + extra, H/2, W/2]."""
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.before, self.after))


class BasicBlock(nn.Module):
    """A block of two 3x3 convolutions and a shortcut around them."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, norm: Callable[[int], nn.Module], last_relu: bool
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = norm(outputs)
        self.shortcut = nn.Identity() if stride == 1 and inputs == outputs else ShortcutA(outputs - inputs)
        self.last_relu = last_relu

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, inputs, H, W] to [B, outputs, H/stride, W/stride]."""
        out = F.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out)) + self.shortcut(x)
        return F.relu(out, inplace=True) if self.last_relu else out


class ResNetCifar(Network):
    """A CIFAR ResNet: three stages of widths 16, 32 and 64, global average pooling, 64 features and a classifier.

    The weights of convolutions and of the linear classifier are initialised Kaiming-normal. ResNet-32 with a linear classifier of
    100 classes has 470,004 parameters. LDAM-DRW and all CIFAR-LT tables after it use this model.

    Attributes:
        features: Number of features that ``embed`` returns.
        classifier: Maps [B, features] to [B, C] logits. It may be replaced.
    """

    def __init__(
        self,
        depth: int = 32,
        num_classes: int = 100,
        *,
        norm: Norm = "batch",
        signed_features: bool = False,
        classifier: nn.Module | None = None,
    ) -> None:
        """Builds the network.

        Args:
            depth: A number 6 n + 2; usual are 20, 32, 44 and 56.
            num_classes: Width C of the linear classifier.
            norm: "batch", or "group" (8 groups), which does not mix the samples of a batch.
            signed_features: Leaves out the last ReLU, so that cosines of features may be negative.
            classifier: Used instead of the linear classifier.

        Raises:
            ValueError: The depth is not 6 n + 2, or the norm is unknown.
        """
        super().__init__()
        blocks, remainder = divmod(depth - 2, 6)
        if blocks < 1 or remainder:
            raise ValueError(f"depth={depth}; a CIFAR ResNet has 6 n + 2 layers, e.g. 20, 32, 44 or 56")
        make_norm = _norm(norm)
        self.features = 64
        self._blocks, self._make_norm, self._signed = blocks, make_norm, signed_features
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.norm1 = make_norm(16)
        self.layer1 = _stage(16, 16, blocks, 1, make_norm)
        self.layer2 = _stage(16, 32, blocks, 2, make_norm)
        self.layer3 = _stage(32, 64, blocks, 2, make_norm, last_relu=not signed_features)
        self.classifier = nn.Linear(self.features, num_classes) if classifier is None else classifier
        for module in self.modules():
            # A classifier that was passed in is initialised already.
            if isinstance(module, nn.Conv2d) or (
                module is self.classifier and classifier is None and isinstance(module, nn.Linear)
            ):
                nn.init.kaiming_normal_(module.weight)

    def maps(self, images: Tensor) -> Tensor:
        """Maps [B, 3, 32, 32] normalised images to [B, 64, 8, 8] feature maps, the last ones before they are pooled."""
        out = F.relu(self.norm1(self.conv1(images)))
        maps: Tensor = self.layer3(self.layer2(self.layer1(out)))
        return maps

    def before_last_block(self) -> Cut:
        """Returns the network cut before the last block of its last stage."""
        lower = self._lower(self.layer1, self.layer2, self.layer3[:-1])

        def upper() -> nn.Module:
            return _initialised(BasicBlock(64, 64, 1, self._make_norm, not self._signed), GlobalAverage())

        return Cut(lower, upper, 64)

    def after_first_stages(self, width: float) -> Cut:
        """Returns the network cut after its first stage (RIDE: ``width`` 0.75 makes stages of 24 and 48 channels)."""
        middle, last = round(32 * width), round(64 * width)

        def upper() -> nn.Module:
            return _initialised(
                _stage(16, middle, self._blocks, 2, self._make_norm),
                _stage(middle, last, self._blocks, 2, self._make_norm, last_relu=not self._signed),
                GlobalAverage(),
            )

        return Cut(self._lower(self.layer1), upper, last)

    def _lower(self, *stages: nn.Module) -> nn.Sequential:
        return nn.Sequential(self.conv1, self.norm1, nn.ReLU(), *stages)


def _initialised(*modules: nn.Module) -> nn.Sequential:
    """Returns the modules one after the other, with Kaiming-normal weights of the convolutions."""
    part = nn.Sequential(*modules)
    for module in part.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return part


def _stage(
    inputs: int, outputs: int, blocks: int, stride: int, norm: Callable[[int], nn.Module], last_relu: bool = True
) -> nn.Sequential:
    layers = [
        BasicBlock(inputs if i == 0 else outputs, outputs, stride if i == 0 else 1, norm, True) for i in range(blocks)
    ]
    layers[-1].last_relu = last_relu
    return nn.Sequential(*layers)


def _norm(kind: str) -> Callable[[int], nn.Module]:
    if kind == "batch":
        return nn.BatchNorm2d
    if kind == "group":
        return lambda channels: nn.GroupNorm(NORM_GROUPS, channels)
    raise ValueError(f"norm={kind!r}; choose 'batch' or 'group'")
