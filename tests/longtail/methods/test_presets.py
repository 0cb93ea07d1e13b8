"""Presets against the configurations of the reference code, written out."""

import dataclasses

import pytest

from gradlens.longtail.methods import find_method
from gradlens.longtail.tasks.digits import digits_task
from gradlens.longtail.tasks.photos import IMAGENET_SETTINGS, INATURALIST_SETTINGS
from gradlens.longtail.tasks.small_images import SETTINGS as CIFAR_SETTINGS

OF_DATA = {"cifar100-lt": CIFAR_SETTINGS, "imagenet-lt": IMAGENET_SETTINGS, "inaturalist2018": INATURALIST_SETTINGS}
WARM = [0.2, 0.4, 0.6, 0.8, 1.0]  # of the full rate, in the epochs 0 to 4
THIRD = [1 / 3, 7 / 15, 9 / 15, 11 / 15, 13 / 15]
NONE = [1.0] * 5
COSINE = None  # no warm-up, and half a cosine

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
