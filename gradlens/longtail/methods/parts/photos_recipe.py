"""The recipes with which most reference code trains on photos: ImageNet-LT, Places-LT and iNaturalist 2018."""

from __future__ import annotations

from typing import Any

from gradlens.longtail.recipe.settings import Setting, settings_from

KANG = "Kang et al. 2020"
LAST_BLOCK = "backbone.layer4.2"


def kang_recipe(dataset: str) -> dict[str, Setting]:
    """Returns the settings of cross-entropy, which is also the first stage of cRT, LWS, tau-norm and NCM.

    They are from facebookresearch/classifier-balancing, config/*/feat_uni*.yaml. For Places-LT there is no such file; what the
    author says of it stands in the issues 2 and 4.

    Args:
        dataset: "imagenet-lt", "places-lt" or "inaturalist2018".
    """
    if dataset == "places-lt":
        return places_recipe(
            f"{KANG}, config/Places_LT and the issues 2 and 4 (30 or 90 epochs)",
            trained=f"{KANG}, issue 4: the last block and the classifier; there the first weights are those of Caffe",
            batch=256,
            learning_rate=0.1,
        )
    folder, decay = {"imagenet-lt": ("ImageNet_LT", 5e-4), "inaturalist2018": ("iNaturalist18", 1e-4)}[dataset]
    return settings_from(
        f"{KANG}, config/{folder}", batch=512, learning_rate=0.2, schedule="cosine", epochs=90, weight_decay=decay
    )


def kang_recipes() -> dict[str, dict[str, Setting]]:
    """Returns data set -> ``kang_recipe``."""
    return {dataset: kang_recipe(dataset) for dataset in ("imagenet-lt", "places-lt", "inaturalist2018")}


def places_recipe(source: str, *, trained: str, **others: Any) -> dict[str, Setting]:
    """Returns settings of Places-LT: a ResNet-152 with weights of ImageNet, whose last block trains, with the classifier.

    Args:
        source: The code that trains in this way.
        trained: Where it says which parts train, and in what it differs from training the last block.
        others: Further settings of the same source.
    """
    return settings_from(
        source,
        backbone="resnet-152",
        pretrained="torchvision",
        epochs=90,
        classifier_learning_rate=None,
        weight_decay=5e-4,
        schedule="cosine",
        **others,
    ) | {"trained_parts": Setting(f"{LAST_BLOCK},classifier", trained)}
