"""The memory-retentive loss against hand-worked numbers and its stated purpose."""

import math

import pytest
import torch

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.parts.retention import retention_loss, retention_weight


def unit_features(batch=64, dim=64, seed=0):
    return torch.nn.functional.normalize(torch.randn(batch, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_two_samples_by_hand():
    # Old e1, e2; new e1, e1. Cosines (1, 1) and (0, 0), so all weights are 1/2; distances (0, 0) and (sqrt 2, sqrt 2).
    old, new = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert retention_loss(old, new).item() == pytest.approx(math.sqrt(2) / 2)
    assert retention_loss(old, new, reduction="sum").item() == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_unchanged_orthogonal_features_by_hand(tau):
    # New = old = e1, e2: a_ii = e^(1/tau) / (e^(1/tau) + 1), and only the other sample is at a distance, sqrt(2).
    other = 1 / (math.exp(1 / tau) + 1)
    assert retention_loss(torch.eye(2), torch.eye(2), tau).item() == pytest.approx(other * math.sqrt(2))


def test_the_softmax_runs_over_new_features():
    # Old e1, e1; new e1, e2. Over j both rows weigh (e, 1)/(e+1) at tau 1, distances (0, sqrt 2).
    old = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert retention_loss(old, torch.eye(2), 1.0).item() == pytest.approx(math.sqrt(2) / (math.e + 1))


def test_the_default_temperature_prefers_unchanged_features_by_far():
    z = unit_features()
    collapsed = z.mean(0, keepdim=True).expand_as(z)
    assert retention_loss(z, z).item() < 0.1 * retention_loss(z, collapsed).item()
    # The literal text (tau = 1) prefers the collapse: 1.311 against 1.283 on such features.
    assert retention_loss(z, z, 1.0).item() > retention_loss(z, collapsed, 1.0).item()


def test_it_grows_with_the_distance_from_the_old_features():
    z, noise = unit_features(), unit_features(seed=1)
    losses = [retention_loss(z, z + step * noise).item() for step in (0.0, 0.2, 0.5, 1.0)]
    assert losses == sorted(losses)


def test_gradients_are_finite_where_old_and_new_coincide():
    new = unit_features(8, 4).requires_grad_()
    retention_loss(new.detach(), new).backward()
    assert torch.isfinite(new.grad).all()
    one = torch.ones(1, 4, requires_grad=True)
    retention_loss(one.detach(), one).backward()
    assert one.grad.abs().sum() == 0


def test_gradient_equals_finite_differences():
    old, new = unit_features(5, 3).double(), unit_features(5, 3, seed=2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: retention_loss(old, x, 0.3), (new,))


def test_no_gradient_into_the_old_model_and_detach_stops_the_weights():
    old, new = unit_features(6, 3).requires_grad_(), unit_features(6, 3, seed=1).requires_grad_()
    attached, cut = (
        torch.autograd.grad(retention_loss(old, new, 0.5, detach=d), (old, new), allow_unused=True)
        for d in (False, True)
    )
    assert attached[0] is None
    assert not torch.allclose(attached[1], cut[1])


def test_weights_of_the_published_splits():
    assert retention_weight(70, 30) == pytest.approx(1.5275, abs=1e-4)
    assert retention_weight(82, 18) == pytest.approx(2.134, abs=1e-3)
    assert retention_weight(61, 39) == pytest.approx(1.251, abs=1e-3)
    assert retention_weight(864, 136) == pytest.approx(2.520, abs=1e-3)
    assert retention_weight(294, 71) == pytest.approx(2.035, abs=1e-3)
    assert retention_weight(4918, 8142 - 4918) == pytest.approx(1.235, abs=1e-3)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: retention_loss(torch.ones(2, 3), torch.ones(3, 3)), r"old \(2, 3\) and new \(3, 3\)"),
        (lambda: retention_loss(torch.ones(0, 3), torch.ones(0, 3)), "B >= 1"),
        (lambda: retention_loss(torch.ones(2, 3), torch.ones(2, 3), tau=0), "tau=0"),
        (lambda: retention_loss(torch.ones(2, 3), torch.ones(2, 3), reduction="max"), "reduction='max'"),
        (lambda: retention_weight(100, 0), "num_new=0"),
    ],
)
def test_wrong_input_is_named(call, says):
    with pytest.raises(LongTailError, match=says):
        call()
