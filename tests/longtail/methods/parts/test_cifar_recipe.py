"""The recipe of CIFAR100-LT, epoch by epoch."""

import pytest

from gradlens.longtail.methods import find_method


@pytest.mark.parametrize(
    ("method", "step", "batch"),
    [("ce", 0.01, 128), ("ldam-drw", 0.01, 128), ("cb-ce", 0.01, 128), ("mixup", 0.1, 128), ("gcl", 0.1, 64)],
)
def test_learning_rates_of_the_literature(task, method, step, batch):
    recipe = find_method(method).on(task, preset="cifar100-lt")
    phase = recipe.phases[0]
    assert (phase.epochs, phase.batch, phase.sgd.weight_decay) == (200, batch, 2e-4)
    rates = {t: phase.sgd.learning_rate * phase.schedule.factor(t, 200) for t in (0, 1, 4, 5, 159, 160, 179, 180, 199)}
    full, once, twice = 0.1, 0.1 * step, 0.1 * step**2
    assert rates == pytest.approx(
        {0: 0.02, 1: 0.04, 4: full, 5: full, 159: full, 160: once, 179: once, 180: twice, 199: twice}
    )
    assert recipe.settings.source("batch") == recipe.settings.source("warm_up") != task.settings.source("batch")
