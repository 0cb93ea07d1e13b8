"""A small convolutional network for the 8 x 8 digits."""

from __future__ import annotations

from torch import Tensor, nn

from gradlens.longtail.networks.cut import Cut, GlobalAverage
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
        self.width, self.signed_features = width, signed_features
        self.features = 4 * width
        self.stem = _convolution(1, width, 1, relu=True)  # [B, width, 8, 8]
        self.middle = _convolution(width, 2 * width, 2, relu=True)  # [B, 2 width, 4, 4]
        self.top = _convolution(2 * width, 4 * width, 2, relu=not signed_features)  # [B, 4 width, 2, 2]
        self.classifier = nn.Linear(self.features, num_classes)

    def maps(self, images: Tensor) -> Tensor:
        """Maps [B, 1, 8, 8] images to [B, 4 width, 2, 2] feature maps, the last ones before they are pooled."""
        maps: Tensor = self.top(self.middle(self.stem(images)))
        return maps

    def before_last_block(self) -> Cut:
        """Returns the network cut before its last convolution."""
        return Cut(nn.Sequential(self.stem, self.middle), lambda: self._upper(2 * self.width), self.features)

    def after_first_stages(self, width: float) -> Cut:
        """Returns the network cut after its first convolution."""
        middle = round(2 * self.width * width)

        def upper() -> nn.Module:
            return nn.Sequential(_convolution(self.width, middle, 2, relu=True), *self._upper(middle))

        return Cut(self.stem, upper, 2 * middle)

    def _upper(self, inputs: int) -> nn.Sequential:
        """Returns a last convolution with twice as many channels as it gets, and the pooling."""
        return nn.Sequential(_convolution(inputs, 2 * inputs, 2, relu=not self.signed_features), GlobalAverage())


def _convolution(inputs: int, outputs: int, stride: int, relu: bool) -> nn.Sequential:
    layers = [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))
