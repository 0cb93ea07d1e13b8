"""A small convolutional network for the 8 x 8 digits."""

from __future__ import annotations

from torch import Tensor, nn

from gradlens.longtail.networks.network import Network


class DigitNet(Network):
    """A network of three convolutions with BatchNorm, global average pooling and a linear classifier.

    It has ``4 * width`` features before the classifier.
    """

    def __init__(self, num_classes: int = 10, width: int = 16, *, signed_features: bool = False) -> None:
        """Builds the network with PyTorch's default initialisation.

        Args:
            num_classes: C.
            width: Channels of the first convolution.
            signed_features: Leaves out the last ReLU, so that features may be negative.
        """
        super().__init__()
        self.features = 4 * width
        self.stem = _convolution(1, width, 1, relu=True)  # [B, width, 8, 8]
        self.middle = _convolution(width, 2 * width, 2, relu=True)  # [B, 2 width, 4, 4]
        self.top = _convolution(2 * width, 4 * width, 2, relu=not signed_features)  # [B, 4 width, 2, 2]
        self.classifier = nn.Linear(self.features, num_classes)

    def maps(self, images: Tensor) -> Tensor:
        """Maps [B, 1, 8, 8] images to [B, 4 width, 2, 2] feature maps, the last ones before they are pooled."""
        maps: Tensor = self.top(self.middle(self.stem(images)))
        return maps


def _convolution(inputs: int, outputs: int, stride: int, relu: bool) -> nn.Sequential:
    layers = [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))
