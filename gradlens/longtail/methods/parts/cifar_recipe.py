"""The recipe with which most reference code trains on CIFAR100-LT. It began with kaidic/LDAM-DRW, cifar_train.py."""

from __future__ import annotations

from typing import Any

from gradlens.longtail.recipe.settings import Setting, settings_from


def cifar_recipe(source: str, *, batch: int = 128, steps_by: float = 0.01, **others: Any) -> dict[str, Setting]:
    """Returns settings: 200 epochs, a warm-up of 5, a learning rate of 0.1 with steps at 160 and 180, a weight decay of 2e-4.

    Args:
        source: The code that trains in this way.
        batch: Images in a batch.
        steps_by: Factor of the learning rate at each step.
        others: Further settings of the same source.
    """
    return settings_from(
        source,
        epochs=200,
        batch=batch,
        learning_rate=0.1,
        weight_decay=2e-4,
        schedule="steps",
        steps_at=(0.8, 0.9),
        steps_by=steps_by,
        warm_up=5,
        **others,
    )
