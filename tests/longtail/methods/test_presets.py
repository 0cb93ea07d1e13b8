"""Presets against the configurations of the reference code, written out."""

import dataclasses

import pytest
import torch

from gradlens.longtail.methods import find_method
from gradlens.longtail.methods.parts.photos_recipe import LAST_BLOCK
from gradlens.longtail.networks.resnet_large import ResNetLarge
from gradlens.longtail.tasks.digits import digits_task
from gradlens.longtail.tasks.photos import IMAGENET_SETTINGS, INATURALIST_SETTINGS, PLACES_SETTINGS
from gradlens.longtail.tasks.small_images import BORROWED
from gradlens.longtail.tasks.small_images import SETTINGS as CIFAR_SETTINGS
from gradlens.longtail.training.training_run import run_training
from gradlens.longtail.training.watching import Watching
from gradlens.runlog import Run

OF_DATA = {
    "cifar100-lt": CIFAR_SETTINGS, "cifar10-lt": BORROWED, "imagenet-lt": IMAGENET_SETTINGS, "places-lt": PLACES_SETTINGS,
    "inaturalist2018": INATURALIST_SETTINGS,
}  # fmt: skip
WARM = [0.2, 0.4, 0.6, 0.8, 1.0]  # of the full rate, in the epochs 0 to 4
THIRD = [1 / 3, 7 / 15, 9 / 15, 11 / 15, 13 / 15]
NONE = [1.0] * 5
COSINE = None  # no warm-up, and half a cosine

PLACES = {
    "backbone": "resnet-152", "pretrained": "torchvision", "trained_parts": "backbone.layer4.2,classifier",
    "classifier_learning_rate": None,
}  # fmt: skip

# method, preset: epochs, batch, learning rate, weight decay, Nesterov, factors of epochs 0 to 4,
# factors before and from the two steps on, other settings
STAGE_1 = {
    ("bbn", "cifar100-lt-if50"): (200, 128, 0.1, 2e-4, True, THIRD, {119: 1, 120: 0.01, 159: 0.01, 160: 1e-4}, {}),
    ("bbn", "inaturalist2018"): (
        180, 128, 0.05, 1e-4, True, NONE, {119: 1, 120: 0.1, 159: 0.1, 160: 0.01}, {"alpha_epochs": 200},
    ),
    ("ride", "cifar100-lt-if100"): (
        200, 128, 0.1, 5e-4, True, WARM, {159: 1, 160: 0.01, 179: 0.01, 180: 1e-4},
        {"augmentation": "rotation", "diversity": 0.45, "temperature_spread": 0.05, "weighted_from": 0.8},
    ),
    ("ride", "imagenet-lt"): (
        100, 256, 0.1, 2e-4, True, WARM, {59: 1, 60: 0.1, 79: 0.1, 80: 0.01},
        {"augmentation": "standard", "diversity": 0.2, "temperature_spread": 0.02, "weighted_from": 0.8},
    ),
    ("ride", "inaturalist2018"): (
        100, 512, 0.2, 2e-4, True, WARM, {59: 1, 60: 0.1, 79: 0.1, 80: 0.01},
        {"augmentation": "standard", "diversity": 0.2, "temperature_spread": 0.015, "weighted_from": 0.8},
    ),
    ("sade", "cifar100-lt-if100"): (
        200, 128, 0.1, 5e-4, True, WARM, {159: 1, 160: 0.1, 179: 0.1, 180: 0.01}, {"augmentation": "rotation", "tau": 2.0},
    ),
    ("sade", "inaturalist2018"): (
        100, 512, 0.2, 2e-4, True, WARM, {59: 1, 60: 0.1, 79: 0.1, 80: 0.01}, {"augmentation": "standard", "tau": 1.0},
    ),
    ("paco", "cifar100-lt-if100"): (
        400, 128, 0.05, 5e-4, False, [0.1, 0.2, 0.3, 0.4, 0.5], {320: 1, 321: 0.1, 360: 0.1, 361: 0.01},
        {"alpha": 0.01, "beta": 1.0, "temperature": 0.05, "queue": 1024, "projection": 32, "key_momentum": 0.999},
    ),
    ("mislas", "imagenet-lt"): (180, 256, 0.1, 5e-4, False, COSINE, {}, {"alpha": 0.2, "smooth_head": 0.3, "smooth_tail": 0.0}),
    ("mislas", "inaturalist2018"): (
        200, 256, 0.1, 1e-4, False, COSINE, {}, {"alpha": 0.2, "smooth_head": 0.3, "smooth_tail": 0.0},
    ),
    ("balanced-softmax", "cifar100-lt-if200"): (
        685, 512, 0.1, 5e-4, False, [0.5 + (e - 1) / 84 for e in range(5)],
        {42: 0.5 + 41 / 84, 43: 1, 364: 0.5, 684: 5.98644e-6}, {"augmentation": "autoaugment-cutout"},
    ),
    ("balanced-softmax", "imagenet-lt"): (90, 512, 0.2, 5e-4, False, COSINE, {}, {"backbone": "resnet-10"}),
    **{
        (method, preset): (
            epochs, 128, 0.1, 2e-4, True, [(e + 1) / warm for e in range(5)],
            {a - 1: 1, a: 0.1, b - 1: 0.1, b: 0.01, c - 1: 0.01, c: 0.001}, {"tau": 1.0},
        )
        for method in ("logit-adjustment", "logit-adjustment-post-hoc")
        for preset, epochs, warm, a, b, c in (
            ("cifar100-lt-if100", 1419, 22, 691, 1059, 1290), ("cifar10-lt-if100", 1241, 20, 604, 926, 1128),
        )
    },
    ("cb-focal", "inaturalist2018"): (
        90, 1024, 1.6, 1e-4, True, WARM, {29: 1, 30: 0.1, 59: 0.1, 60: 0.01, 79: 0.01, 80: 0.001},
        {"beta": 0.999, "gamma": 0.5, "bias_decay": 0.0},
    ),
    ("ce", "imagenet-lt"): (90, 512, 0.2, 5e-4, False, COSINE, {}, {}),
    ("ce", "inaturalist2018"): (90, 512, 0.2, 1e-4, False, COSINE, {}, {}),
    ("mixup", "imagenet-lt"): (180, 256, 0.1, 5e-4, False, COSINE, {}, {"alpha": 0.2}),
    ("mixup", "inaturalist2018"): (200, 256, 0.1, 1e-4, False, COSINE, {}, {"alpha": 0.2}),
    **{
        (method, "places-lt"): (90, 256, 0.1, 5e-4, False, COSINE, {}, PLACES | own)
        for methods, own in (
            (("ce", "crt", "lws", "tau-norm", "ncm"), {}),
            (("mixup", "mislas"), {"alpha": 0.2, "moving_parts": "backbone.layer4.2"}),
        )
        for method in methods
    },
    ("gcl", "places-lt"): (
        90, 512, 0.2, 5e-4, False, WARM, {59: 1, 60: 0.1, 79: 0.1, 80: 0.01},
        PLACES | {"alpha": 0.2, "noise": 1.0, "scale": 30.0, "moving_parts": "backbone.layer4.2"},
    ),
    ("oltr", "places-lt"): (
        30, 128, 0.001, 5e-4, False, NONE, {9: 1, 10: 0.1, 19: 0.1, 20: 0.01}, {"classifier_learning_rate": 0.1},
    ),
    ("sade", "places-lt"): (
        30, 128, 0.01, 4e-4, True, NONE, {9: 1, 10: 0.1, 19: 0.1, 20: 0.01}, {"tau": 1.0, "expert_width": 1.0},
    ),
    **{
        (method, "imagenet-lt"): (90, 512, 0.2, 5e-4, False, COSINE, {}, {"stage_2_from": "best"})
        for method in ("ncm", "crt", "lws", "tau-norm")
    },
    **{
        (method, "inaturalist2018"): (90, 512, 0.2, 1e-4, False, COSINE, {}, {"stage_2_from": "best"})
        for method in ("ncm", "crt", "lws", "tau-norm")
    },
    **{
        (method, "cifar100-lt-bag-of-tricks"): (
            200, 128, 0.1, 2e-4, True, WARM, {159: 1, 160: 0.01, 179: 0.01, 180: 1e-4}, {"stage_2_from": start, **own},
        )
        for method, start, own in (
            ("crt", "last", {}), ("lws", "last", {}), ("tau-norm", "best", {"tau": 1.0, "bias": True}),
        )
    },
}  # fmt: skip
# epochs, batch, learning rate, weight decay, factors of some epochs, statistics of BatchNorm
BAG = (30, 128, 0.1, 5e-4, {0: 0.2, 4: 1, 9: 1, 10: 0.1, 19: 0.1, 20: 0.01}, ("",))
STAGE_2 = {
    ("crt", "imagenet-lt"): (10, 512, 0.2, 5e-4, {0: 1, 5: 0.5}, ("",)),
    ("crt", "inaturalist2018"): (30, 512, 0.2, 1e-4, {0: 1, 15: 0.5}, ("",)),
    ("lws", "imagenet-lt"): (5, 512, 0.2, 5e-4, {0: 1}, ("",)),
    ("lws", "inaturalist2018"): (5, 512, 0.2, 1e-4, {0: 1}, ("",)),
    ("crt", "cifar100-lt-bag-of-tricks"): BAG,
    ("lws", "cifar100-lt-bag-of-tricks"): BAG,
    ("crt", "places-lt"): (10, 256, 0.1, 5e-4, {0: 1, 5: 0.5}, ("",)),
    ("lws", "places-lt"): (5, 256, 0.1, 5e-4, {0: 1}, ("",)),
    ("mislas", "places-lt"): (10, 256, 0.005, 5e-4, {0: 1, 5: 0.5}, ("backbone.layer4.2",)),
    ("gcl", "places-lt"): (30, 512, 0.002, 5e-4, {0: 1, 15: 0.5}, ()),
    ("oltr", "places-lt"): (30, 128, 1e-4, 5e-4, {9: 1, 10: 0.1, 19: 0.1, 20: 0.01}, ("",)),
    ("mislas", "imagenet-lt"): (10, 256, 0.005, 5e-4, {0: 1, 5: 0.5}, ("",)),
    ("mislas", "inaturalist2018"): (10, 256, 0.005, 1e-4, {0: 1, 5: 0.5}, ("",)),
}


@pytest.fixture(scope="module")
def images():
    """Returns a balanced task with images enough for the largest batch."""
    return digits_task(balanced=True, imbalance=2.0)


def recipe_of(images, method, preset):
    data = next(settings for name, settings in OF_DATA.items() if preset.startswith(name))
    return find_method(method).on(dataclasses.replace(images, settings=data), preset=preset)


@pytest.mark.parametrize(("method", "preset"), STAGE_1)
def test_stage_1_of_presets(images, method, preset):
    epochs, batch, rate, decay, nesterov, first, steps, others = STAGE_1[method, preset]
    recipe = recipe_of(images, method, preset)
    phase = recipe.phases[0]
    assert (phase.epochs, phase.batch, phase.sgd.learning_rate, phase.sgd.weight_decay) == (epochs, batch, rate, decay)
    assert (phase.sgd.momentum, phase.sgd.nesterov) == (0.9, nesterov)
    factor = phase.schedule.factor
    if first is COSINE:
        first, steps = [1.0], {epochs // 2: 0.5, epochs * 4 // 5: 0.0954915028}  # (1 + cos(4 pi / 5)) / 2
    assert [factor(t, epochs) for t in range(len(first))] == pytest.approx(first)
    assert {t: factor(t, epochs) for t in steps} == pytest.approx(steps)
    assert {name: recipe.settings[name] for name in others} == others


@pytest.mark.parametrize(("method", "preset"), STAGE_2)
def test_stage_2_of_presets(images, method, preset):
    epochs, batch, rate, decay, steps, moving = STAGE_2[method, preset]
    phase = recipe_of(images, method, preset).phases[1]
    assert (phase.epochs, phase.batch, phase.sgd.learning_rate, phase.sgd.weight_decay) == (epochs, batch, rate, decay)
    assert {t: phase.schedule.factor(t, epochs) for t in steps} == pytest.approx(steps)
    assert phase.moving == moving


def test_parts_of_places_lt(images):
    first, second = recipe_of(images, "mislas", "places-lt").phases
    assert (first.trainable, first.moving) == (("backbone.layer4.2", "classifier"), ("backbone.layer4.2",))
    first, second = recipe_of(images, "crt", "places-lt").phases
    assert (first.moving, second.trainable) == (("",), ("classifier",))
    assert first.sgd.parts == {}  # the data set's own recipe has a faster classifier
    first, second = recipe_of(images, "oltr", "places-lt").phases
    assert (first.trainable, second.trainable) == (("",), ("attention", "classifier"))
    assert first.sgd.parts == {"classifier": 0.1}
    assert second.sgd.parts == {"classifier.centroids": 0.01, "classifier": 0.01}
    (only,) = recipe_of(images, "sade", "places-lt").phases
    assert only.sgd.parts == {"lower": 0.001}


def test_the_last_block_has_its_name():
    with torch.device("meta"):
        names = [
            name for name, _ in ResNetLarge(50, 3).named_modules()
        ]  # its last stage has the blocks of a ResNet-152
    last = [name for name in names if name.startswith("backbone.layer4.") and name.count(".") == 2]
    assert last[-1] == LAST_BLOCK


def test_run_and_result_name_the_preset(tmp_path):
    task = digits_task()

    def run(folder, preset, watching):
        recipe = find_method("ce").on(task, {"epochs": 1}, preset=preset)
        return run_training(recipe, task, tmp_path / folder, watching=watching, max_steps=1).result

    result = run("run", "cifar100-lt", Watching(every=50, probe_every=0))
    assert (result["preset"], Run(tmp_path / "run").meta.extra["preset"]) == ("cifar100-lt", "cifar100-lt")
    assert result["settings"]["batch"] == {"value": 128, "source": "Cao et al. 2019, cifar_train.py"}
    assert "preset" not in run("other", None, None)
