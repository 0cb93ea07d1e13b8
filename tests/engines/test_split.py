"""What the split engine refuses before it is too late, and what it measures besides the zoo."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens.autograd.cotangents import AnchoredLosses
from gradlens.batch.rows import group_rows
from gradlens.engines import EngineRefusal
from gradlens.engines.split import SplitEngine
from gradlens.groups import ClassGroups
from tests.engines.pairs import trainable


@pytest.mark.parametrize(
    ("normalised", "sources"),
    [(nn.utils.weight_norm, "weight_g and weight_v"), (nn.utils.spectral_norm, "weight_orig")],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_split_refuses_weights_that_a_hook_computes(normalised: Callable[..., nn.Module], sources: str) -> None:
    model = nn.Sequential(normalised(nn.Linear(5, 8)), nn.ReLU(), nn.Linear(8, 6))
    with pytest.raises(EngineRefusal, match=rf"computes its weight from {sources} \(0: Linear\)"):
        SplitEngine(model, trainable(model)).arm()


GROUPS = ClassGroups({"head": [0, 1], "tail": [2]}, 3)
LABELS = torch.tensor([0, 2, 1, 0, 2])


def perceptron() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double()


def test_the_scale_of_the_training_is_taken_out():
    model, x = perceptron(), torch.randn(5, 4, dtype=torch.float64)
    params = trainable(model)
    engine = SplitEngine(model, params)
    engine.arm()
    logits = model(x)
    loss = F.cross_entropy(logits, LABELS)

    (tail,) = engine.measure(
        AnchoredLosses([loss], [logits]), group_rows(LABELS, GROUPS, logits), [(0, 1)], (loss * 1024).backward
    )

    rows = LABELS == 2
    truth = torch.autograd.grad(F.cross_entropy(model(x)[rows], LABELS[rows], reduction="sum") / 5, params)
    whole = torch.autograd.grad(F.cross_entropy(model(x), LABELS), params)
    for gradient, expected, param, total in zip(tail, truth, params, whole, strict=True):
        torch.testing.assert_close(gradient, expected)
        torch.testing.assert_close(param.grad, 1024 * total)


def test_an_input_that_is_changed_after_the_call_is_refused():
    model, x = perceptron(), torch.randn(5, 4, dtype=torch.float64)
    engine = SplitEngine(model, trainable(model)[1:])  # the first weight is frozen, so that torch does not mind
    model[0].weight.requires_grad_(False)
    engine.arm()
    logits = model(x)
    x.zero_()
    loss = F.cross_entropy(logits, LABELS)
    with pytest.raises(EngineRefusal, match=r"its input was changed in place after the call \(0: Linear\)"):
        engine.measure(AnchoredLosses([loss], [logits]), group_rows(LABELS, GROUPS, logits), [(0, 1)], loss.backward)
    assert not model[0]._forward_hooks


@pytest.mark.parametrize(
    ("dims", "several", "reason"),
    [
        (1, False, None),
        (2, False, "labels of 2 dimensions give several rows to one sample"),
        (1, True, "several loss calls each have their own labels"),
    ],
)
def test_a_pass_that_is_not_measured_tells_what_would_be_refused(dims, several, reason):
    model = perceptron()
    logits = model(torch.randn(5, 4, dtype=torch.float64))
    engine, loss = SplitEngine(model, []), F.cross_entropy(logits, LABELS)
    if reason is None:
        engine.check_ahead([loss], [logits], dims, several=several)
    else:
        with pytest.raises(EngineRefusal, match=reason):
            engine.check_ahead([loss], [logits], dims, several=several)


def test_a_layer_that_is_put_into_train_mode_after_arming_is_refused():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).eval()
    engine = SplitEngine(model, trainable(model))
    engine.arm()
    model.train()
    logits = model(torch.randn(5, 4))
    loss = F.cross_entropy(logits, LABELS)
    with pytest.raises(EngineRefusal, match=r"train-mode BatchNorm mixes the samples of a batch \(1: BatchNorm1d\)"):
        engine.measure(AnchoredLosses([loss], [logits]), group_rows(LABELS, GROUPS, logits), [(0, 1)], loss.backward)
