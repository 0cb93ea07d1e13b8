"""Parts that all tasks of photos in files share: transforms, ResNets and settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.networks.network import Network
from gradlens.longtail.networks.resnet_large import ResNetLarge
from gradlens.longtail.recipe.settings import PAPER, Setting, Settings
from gradlens.longtail.tasks.computing import computed, computing_settings

IMAGENET_STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
INATURALIST_STATISTICS = ((0.466, 0.471, 0.380), (0.195, 0.194, 0.192))

_COMMON = {
    "pretrained": Setting(None, PAPER, str),
    "classifier_learning_rate": Setting(None, "paper, Appendix A: the same for all parameters", float),
    "steps_at": Setting((1 / 3, 2 / 3), "not used by the cosine schedule"),
    "steps_by": Setting(0.1, "not used by the cosine schedule"),
    "warm_up": Setting(0, f"{PAPER}: none"),
    "momentum": Setting(0.9, PAPER),
    "weight_decay": Setting(5e-4, PAPER),
    "augmentation": Setting("standard", "Kang et al. 2020: resized crops and flips; on some data sets colour jitter"),
}
_COMPUTING = computing_settings("channels_last")
IMAGENET_SETTINGS = Settings(
    {
        **_COMMON,
        **_COMPUTING,
        "backbone": Setting("resnet-50", PAPER),
        "epochs": Setting(90, "Kang et al. 2020; the paper does not say"),
        "batch": Setting(128, "inferred from the paper's other settings"),
        "learning_rate": Setting(0.05, PAPER),
        "schedule": Setting("cosine", PAPER),
    }
)
INATURALIST_SETTINGS = IMAGENET_SETTINGS.plus({"epochs": Setting(200, PAPER)})
PLACES_SETTINGS = IMAGENET_SETTINGS.plus(
    {
        "backbone": Setting("resnet-152", PAPER),
        "pretrained": Setting("torchvision", f"{PAPER}: ImageNet-pretrained", str),
        "epochs": Setting(60, PAPER),
        "learning_rate": Setting(5e-4, f"{PAPER}: of the backbone"),
        "classifier_learning_rate": Setting(0.05, PAPER, float),
        "schedule": Setting("steps", PAPER),
        "steps_at": Setting((1 / 3, 2 / 3), f"{PAPER}: epochs 20 and 40 of 60"),
        "steps_by": Setting(0.1, 'gradlens: the paper prints "by 0.01", which stops training; 0.1 is likely meant'),
    }
)
FOLDER_SETTINGS = Settings(
    {
        name: Setting(value, f"{IMAGENET_SETTINGS.source(name)}; as for ImageNet-LT", IMAGENET_SETTINGS.kind(name))
        for name, value in IMAGENET_SETTINGS.items()
    }
    | _COMPUTING
)

Pair = tuple[Callable[[Any], torch.Tensor], Callable[[Any], torch.Tensor]]


def transforms(statistics: tuple[Sequence[float], Sequence[float]], *, jitter: bool, size: int = 224) -> Pair:
    """Returns the transforms of training and of evaluation. Each maps a PIL image to [3, size, size], normalised.

    Training: random resized crop, random flip, colour jitter (0.4, 0.4, 0.4, 0). Evaluation: the shorter side is resized to
    256 / 224 of ``size``, then the centre is cut out.
    """
    from torchvision.transforms import v2

    end = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(*map(list, statistics))]
    colours = [v2.ColorJitter(0.4, 0.4, 0.4, 0)] if jitter else []
    augment = v2.Compose([v2.RandomResizedCrop(size), v2.RandomHorizontalFlip(), *colours, *end])
    prepare = v2.Compose([v2.Resize(round(size * 256 / 224)), v2.CenterCrop(size), *end])
    return augment, prepare


def resnet(num_classes: int) -> Callable[[Settings, bool], Network]:
    """Returns a function that makes the ResNet of the settings ``backbone`` (such as "resnet-50") and ``pretrained``."""

    def network(settings: Settings, signed: bool) -> Network:
        name, _, depth = str(settings["backbone"]).partition("-")
        if name != "resnet" or not depth.isdigit():
            raise LongTailError(f"backbone={settings['backbone']!r}; choose resnet-10, -18, -34, -50, -101 or -152")
        model = ResNetLarge(int(depth), num_classes, signed_features=signed, pretrained=settings["pretrained"])
        return computed(model, settings)

    return network
