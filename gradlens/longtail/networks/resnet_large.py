"""ResNet-10, -18, -34, -50, -101 and -152 for 224 x 224 images, made with torchvision."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens.longtail.errors import DatasetNotFoundError, LongTailError
from gradlens.longtail.networks.cut import Cut, GlobalAverage
from gradlens.longtail.networks.network import Network

# torchvision has no ResNet-10. It has one basic block in each stage, as in the ImageNet-LT tables since OLTR.
LAYERS: dict[int, tuple[str, tuple[int, int, int, int]]] = {
    10: ("BasicBlock", (1, 1, 1, 1)),
    18: ("BasicBlock", (2, 2, 2, 2)),
    34: ("BasicBlock", (3, 4, 6, 3)),
    50: ("Bottleneck", (3, 4, 6, 3)),
    101: ("Bottleneck", (3, 4, 23, 3)),
    152: ("Bottleneck", (3, 8, 36, 3)),
}
TORCHVISION = "torchvision"


class ResNetLarge(Network):
    """A torchvision ResNet whose classifier is replaced by a linear one of C classes.

    Attributes:
        features: Number of features: 512 with basic blocks, 2048 with bottleneck blocks.
    """

    def __init__(
        self,
        depth: int,
        num_classes: int,
        *,
        signed_features: bool = False,
        pretrained: Path | str | None = None,
    ) -> None:
        """Builds the network.

        Args:
            depth: 10, 18, 34, 50, 101 or 152.
            num_classes: C.
            signed_features: Leaves out the last ReLU, so that features may be negative.
            pretrained: File with the weights of a torchvision ResNet of this depth, or "torchvision" for the weights in its
                cache; None = random weights.

        Raises:
            LongTailError: The depth is unknown, or the weights do not fit.
            DatasetNotFoundError: The weights do not exist.
        """
        super().__init__()
        if depth not in LAYERS:
            raise LongTailError(f"depth={depth}; choose one of {', '.join(map(str, LAYERS))}")
        self._depth, self._signed, self._pretrained = depth, signed_features, pretrained
        backbone = _backbone(depth, pretrained)
        self.features = int(backbone.fc.in_features)
        backbone.fc = nn.Identity()
        if signed_features:
            backbone.layer4[-1] = SignedBlock(backbone.layer4[-1])
        self.backbone = cast(nn.Module, backbone)
        self.classifier = nn.Linear(self.features, num_classes)

    def maps(self, images: Tensor) -> Tensor:
        """Maps [B, 3, H, W] images to [B, features, H/32, W/32] feature maps, the last ones before they are pooled."""
        backbone: Any = self.backbone
        out = backbone.maxpool(backbone.relu(backbone.bn1(backbone.conv1(images))))
        maps: Tensor = backbone.layer4(backbone.layer3(backbone.layer2(backbone.layer1(out))))
        return maps

    def pooled(self, maps: Tensor) -> Tensor:
        """Maps [B, features, h, w] feature maps to [B, features] features: the mean over the positions."""
        return torch.flatten(cast(Any, self.backbone).avgpool(maps), 1)

    def before_last_block(self) -> Cut:
        """Returns the network cut before the last block of its last stage. Upper parts are pretrained if the network is."""
        own: Any = self.backbone

        def upper() -> nn.Module:
            last = _backbone(self._depth, self._pretrained).layer4[-1]
            return nn.Sequential(SignedBlock(last) if self._signed else last, GlobalAverage())

        return Cut(self._lower(own.layer2, own.layer3, own.layer4[:-1]), upper, self.features)

    def after_first_stages(self, width: float) -> Cut:
        """Returns the network cut after its second stage (RIDE: ``width`` 0.75).

        Upper parts are pretrained if the network is and they have its width.
        """
        own: Any = self.backbone
        third, fourth = round(256 * width), round(512 * width)
        layers = LAYERS[self._depth][1]

        def upper() -> nn.Module:
            made = _backbone(self._depth, self._pretrained if width == 1 else None)
            if width == 1 and self._pretrained is not None:
                last = [*made.layer4[:-1], SignedBlock(made.layer4[-1])] if self._signed else [*made.layer4]
                return nn.Sequential(made.layer3, nn.Sequential(*last), GlobalAverage())
            block, made.inplanes = type(made.layer1[0]), made.layer3[0].conv1.in_channels
            stages = [made._make_layer(block, third, layers[2], 2), made._make_layer(block, fourth, layers[3], 2)]
            for module in nn.ModuleList(stages).modules():
                if isinstance(module, nn.Conv2d):  # as torchvision does it
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if self._signed:
                stages[1][-1] = SignedBlock(stages[1][-1])
            return nn.Sequential(*stages, GlobalAverage())

        return Cut(self._lower(own.layer2), upper, self.features * fourth // 512)

    def _lower(self, *stages: nn.Module) -> nn.Sequential:
        own: Any = self.backbone
        return nn.Sequential(own.conv1, own.bn1, own.relu, own.maxpool, own.layer1, *stages)


def _backbone(depth: int, pretrained: Path | str | None) -> Any:
    """Returns a torchvision ResNet. See ``ResNetLarge`` for the arguments and errors."""
    from torchvision.models import resnet

    block, layers = LAYERS[depth]
    backbone = resnet.ResNet(getattr(resnet, block), list(layers))
    if pretrained is not None:
        _load(backbone, depth, pretrained)
    return backbone


class SignedBlock(nn.Module):
    """A torchvision block without the ReLU at its end."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """Maps the block's input to its output before the last ReLU; the shapes are those of the block."""
        block: Any = self.block
        out = F.relu(block.bn1(block.conv1(x)))
        out = block.bn2(block.conv2(out))
        if hasattr(block, "conv3"):
            out = block.bn3(block.conv3(F.relu(out)))
        identity: Tensor = x if block.downsample is None else block.downsample(x)
        return cast(Tensor, out + identity)


def _load(backbone: nn.Module, depth: int, pretrained: Path | str) -> None:
    path = _cached(depth) if str(pretrained) == TORCHVISION else Path(pretrained)
    if not path.is_file():
        raise DatasetNotFoundError(f"no weights in {path}; give a file of a torchvision ResNet-{depth}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
        raise LongTailError(f"{path} cannot be read as weights ({type(error).__name__}); download it again") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    # The weights of the pretrained classifier are not used.
    state = {name.removeprefix("module."): value for name, value in state.items()}
    wanted = {name for name in backbone.state_dict() if not name.startswith("fc.")}
    missing = sorted(wanted - set(state))
    try:
        backbone.load_state_dict({name: value for name, value in state.items() if name in wanted}, strict=False)
    except RuntimeError as error:
        raise LongTailError(
            f"the weights in {path} do not fit a ResNet-{depth}: {str(error).splitlines()[-1]}"
        ) from error
    if missing:
        raise LongTailError(
            f"the weights in {path} do not fit a ResNet-{depth}: {len(missing)} tensors are missing, e.g. {missing[0]}"
        )


def _cached(depth: int) -> Path:
    """Returns the file in torchvision's cache with the weights IMAGENET1K_V1 of this depth.

    Raises:
        DatasetNotFoundError: torchvision has no such weights, or they were not downloaded.
    """
    from torchvision.models import get_weight

    if depth == 10:
        raise DatasetNotFoundError("torchvision has no weights of a ResNet-10; give a file, or train from scratch")
    file = str(get_weight(f"ResNet{depth}_Weights.IMAGENET1K_V1").url).split("/")[-1]
    path = Path(str(torch.hub.get_dir())) / "checkpoints" / file
    if not path.is_file():
        raise DatasetNotFoundError(
            f"no weights in torchvision's cache ({path}). Get them with: python -c \"import torchvision; "
            f"torchvision.models.resnet{depth}(weights='IMAGENET1K_V1')\", or give the path of a file"
        )
    return path
