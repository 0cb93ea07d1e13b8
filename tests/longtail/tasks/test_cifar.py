"""CIFAR as a task."""

import dataclasses

import pytest
import torch

from gradlens.longtail.data.image_set import ImageSet
from gradlens.longtail.data.labelled_images import TensorImages
from gradlens.longtail.methods import CE, DUAL_PHASE
from gradlens.longtail.tasks.cifar import cifar_task
from gradlens.longtail.training.fit import fit


@pytest.mark.slow
def test_real_cifar(cifar100_root):
    task = cifar_task(cifar100_root, imbalance=100)
    assert len(task.train.labels) == 10_847
    assert len(task.evaluations["test"].labels) == 10_000
    recipe = DUAL_PHASE.on(task, {"epochs": 1})
    assert recipe.settings["retention_weight"] == pytest.approx(1.5275, abs=1e-4)
    assert sum(p.numel() for p in CE.on(task).network().parameters()) == 470_004
    # 10,000 test images four times over would take minutes
    few = dataclasses.replace(
        task,
        evaluations={
            "test": TensorImages(
                ImageSet(
                    *next(task.evaluations["test"].batches(torch.arange(200), 200, augmented=False)),
                    task.train.class_names,
                ),
                "cpu",
            )
        },
    )
    fitted = fit(recipe, few, max_steps=2)
    assert len(fitted.learner.selected) == 700 + 305
