"""Trainings in bfloat16 and with compiled code: what the lens measures, that it changes nothing, and resuming."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gradlens import ClassGroups, Lens
from gradlens.longtail.methods import CE
from gradlens.longtail.networks.computing import Computing
from gradlens.longtail.networks.digit_net import DigitNet
from gradlens.longtail.networks.resnet_cifar import ResNetCifar
from gradlens.longtail.training.checkpoint import FILE, CheckpointError
from gradlens.longtail.training.fit import fit
from gradlens.longtail.training.training_run import run_training
from gradlens.longtail.training.watching import Watching
from gradlens.runlog import Run
from tests.lens.oracle import apart, gram
from tests.longtail.same_state import assert_same

GROUPS = ClassGroups({"head": range(3), "middle": range(3, 6), "tail": range(6, 10)}, num_classes=10)
BFLOAT16 = 2.0**-8
WAYS = {
    "bfloat16": {"precision": "bfloat16"},
    "compiled": {"compile": True},
    "both": {"precision": "bfloat16", "compile": True},
}
FAST = {"epochs": 2, "batch": 100}  # 342 images: three batches of 100, and one of 42


def restricted(model, images, labels):
    """Returns the gradient of each group's part of the mean loss, one backward pass a group, through one forward pass."""
    losses = F.cross_entropy(model(images), labels, reduction="none")
    groups = torch.tensor([GROUPS.names.index("head")] * 3 + [1] * 3 + [2] * 4)[labels]
    params = list(model.parameters())
    return [
        torch.autograd.grad((losses * (groups == k)).sum() / len(labels), params, retain_graph=True) for k in range(3)
    ]


@pytest.mark.parametrize("kind", ["batch norm", "group norm"])
def test_a_measurement_in_bfloat16_agrees_with_passes_in_bfloat16(kind):
    torch.manual_seed(0)
    if kind == "batch norm":  # measured by masked
        model, images = DigitNet(), torch.randn(32, 1, 8, 8)
    else:  # measured by split
        model, images = ResNetCifar(8, 10, norm="group"), torch.randn(32, 3, 32, 32)
    model.computed(Computing("bfloat16", "channels_last"))
    labels = torch.arange(32) % 10
    truth = gram(restricted(copy.deepcopy(model), images, labels))
    in_float32 = gram(restricted(copy.deepcopy(model).computed(Computing()), images, labels))
    with Lens(model, GROUPS, every=1, strict=True) as lens:
        lens.backward(F.cross_entropy(model(images), labels), labels)
    assert lens.engine_name == ("masked" if kind == "batch norm" else "split")
    found = lens.last.gram[:3, :3]
    # Both round in every layer on the way down. What one group gets by the difference to the others is rounded otherwise.
    assert apart(found, truth) < BFLOAT16 / 4
    assert lens.last.residual < 2 * BFLOAT16
    # Not measured in float32 in secret: that differs by the rounding of the forward pass too.
    assert apart(in_float32, truth) > 1e-4


@pytest.mark.parametrize("way", WAYS)
def test_the_lens_changes_nothing(task, tmp_path, way):
    recipe = CE.on(task, FAST | WAYS[way])
    for name, watching in (("plain", None), ("tracked", Watching(every=2, probe_every=1, update=True))):
        torch.compiler.reset()
        run_training(recipe, task, tmp_path / name, watching=watching)
    assert_same(*(torch.load(tmp_path / name / FILE, weights_only=True) for name in ("plain", "tracked")))
    run = Run(tmp_path / "tracked")
    assert run.steps.tolist() == [0, 2, 4, 6]
    assert not [event for event in run.events if event["kind"] == "residual"]
    assert np.nanmax(run.residual) < (1e-5 if way == "compiled" else 4 * BFLOAT16)
    assert [probe.counts.sum() for probe in run.probes] == [len(task.train.labels)] * 2
    assert run.meta.hyperparameters["compile"]["value"] is (way != "bfloat16")


@pytest.mark.parametrize("way", WAYS)
def test_resuming_ends_bit_identical(task, tmp_path, way):
    recipe = CE.on(task, FAST | WAYS[way])
    fit(recipe, task, folder=tmp_path / "whole")

    def stop(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(recipe, task, folder=tmp_path / "part", on_epoch=stop)
    torch.compiler.reset()  # as in a new process: the first batch that is seen is another one
    resumed = fit(recipe, task, folder=tmp_path / "part", resume=True)
    assert len(resumed.history) == 2
    assert_same(*(torch.load(tmp_path / name / FILE, weights_only=True) for name in ("whole", "part")))


def test_how_a_training_computes_belongs_to_it(task, tmp_path):
    fit(CE.on(task, {"epochs": 1}), task, folder=tmp_path, max_steps=1)
    for changes, says in (
        ({"precision": "bfloat16"}, "precision: float32 there, bfloat16 here"),
        ({"memory_format": "channels_last"}, "memory_format: contiguous_format there, channels_last here"),
        ({"compile": True}, "compile: False there, True here"),
    ):
        with pytest.raises(CheckpointError, match=says):
            fit(CE.on(task, {"epochs": 1} | changes), task, folder=tmp_path, max_steps=1, resume=True)


def test_compiled_trainings_are_the_ordinary_ones_but_for_rounding(task):
    losses = []
    for compiled in (False, True):
        fitted = fit(CE.on(task, {"epochs": 1, "batch": 100, "compile": compiled}), task)
        losses.append(fitted.history[0]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
