"""Parts that all tasks of small images in memory share: normalisation, CIFAR ResNets and settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from gradlens.longtail.data.augment import normalise
from gradlens.longtail.errors import LongTailError
from gradlens.longtail.networks.network import Network
from gradlens.longtail.networks.resnet_cifar import ResNetCifar
from gradlens.longtail.recipe.settings import PAPER, Setting, Settings
from gradlens.longtail.tasks.computing import computed, computing_settings

# Appendix A, CIFAR100-LT.
_TRAINING = {
    "backbone": Setting("resnet-32", PAPER),
    "norm": Setting("batch", PAPER),
    "epochs": Setting(200, PAPER),
    "batch": Setting(64, PAPER),
    "learning_rate": Setting(0.1, PAPER),
    "schedule": Setting("steps", PAPER),
    "steps_at": Setting((0.8, 0.9), f"{PAPER}: epochs 160 and 180 of 200"),
    "steps_by": Setting(0.01, PAPER),
    "warm_up": Setting(0, f"{PAPER}: none"),
    "momentum": Setting(0.9, PAPER),
    "weight_decay": Setting(5e-4, PAPER),
    "augmentation": Setting("standard", f"{PAPER}: crops and flips"),
}
_COMPUTING = computing_settings("channels_last")
SETTINGS = Settings(_TRAINING | _COMPUTING)
BORROWED = Settings(
    {name: Setting(setting.value, "as for CIFAR100-LT in the paper, Appendix A") for name, setting in _TRAINING.items()}
    | _COMPUTING
)


def preparing(mean: Sequence[float], std: Sequence[float]) -> Callable[[Tensor], Tensor]:
    """Returns a function that turns bytes [B, 1 or 3, H, W] into normalised network input [B, 3, H, W]."""

    def prepare(images: Tensor) -> Tensor:
        return normalise(images.expand(-1, 3, -1, -1), mean, std)

    return prepare


def resnet(num_classes: int) -> Callable[[Settings, bool], Network]:
    """Returns a function that makes the CIFAR ResNet of the settings ``backbone`` (such as "resnet-32") and ``norm``."""

    def network(settings: Settings, signed: bool) -> Network:
        name, _, depth = str(settings["backbone"]).partition("-")
        if name != "resnet" or not depth.isdigit():
            raise LongTailError(
                f"backbone={settings['backbone']!r}; choose resnet-20, resnet-32, resnet-44 or resnet-56"
            )
        try:
            model = ResNetCifar(int(depth), num_classes, norm=settings["norm"], signed_features=signed)
        except ValueError as error:
            raise LongTailError(str(error)) from error
        return computed(model, settings)

    return network
