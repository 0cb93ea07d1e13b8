"""The size of a loss changes norms by its factor, and nothing else, as far as the numbers of the training reach."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens import ClassGroups, Lens, Run
from gradlens.autograd.float_range import in_range

GROUPS = ClassGroups.parse("head=0-1,tail=2-3", 4)


def train(out: Path, power: int, engine: str = "masked", dtype: torch.dtype = torch.float64, **options: bool) -> Run:
    """Four steps of a training whose loss is multiplied by 2 ** power, and its learning rate by the inverse."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5 * 2.0**-power)
    x, y = torch.randn(64, 8, dtype=dtype), torch.tensor([0] * 40 + [1] * 16 + [2] * 5 + [3] * 3)
    with Lens(model, GROUPS, out=out, optimizer=optimizer, every=1, engine=engine, strict=True, **options) as lens:
        for step in range(4):
            rows = torch.cat([torch.arange(14) + 10 * step, 56 + torch.arange(2) + step])
            lens.backward(F.cross_entropy(model(x[rows]), y[rows]) * 2.0**power, y[rows])
            optimizer.step()
            optimizer.zero_grad()
    return Run(out)


@pytest.mark.parametrize("engine", ["masked", "split"])
@pytest.mark.parametrize("power", [-660, 660])  # norms of 1e-199 and 1e198, whose squares float64 does not hold
def test_a_factor_of_the_loss(engine: str, power: int, tmp_path: Path) -> None:
    usual, far = (train(tmp_path / str(p), p, engine, layers=True) for p in (0, power))
    assert (far.norm("all") > 0).all()
    for name in ("head", "tail", "all"):
        np.testing.assert_array_equal(far.norm(name), np.ldexp(usual.norm(name), power))
        assert not far.nonfinite(name).any()
    np.testing.assert_array_equal(far.norm("tail", per="mean"), np.ldexp(usual.norm("tail", per="mean"), power))
    for layer in (None, *usual.layers):
        np.testing.assert_allclose(
            far.norm("head", layer=layer), np.ldexp(usual.norm("head", layer=layer), power), rtol=1e-6
        )
        for name in ("head", "tail"):
            np.testing.assert_allclose(far.cosine(name, layer), usual.cosine(name, layer), atol=1e-6)
            np.testing.assert_allclose(far.share(name, layer), usual.share(name, layer), atol=1e-6)
    np.testing.assert_array_equal(far.conflict("head", "tail"), usual.conflict("head", "tail"))
    np.testing.assert_array_equal(far.share_distance(), usual.share_distance())
    assert (far.residual < 1e-7).all()  # from inner products: no nearer than their rounding
    np.testing.assert_allclose(far.by_layer("norm", "tail"), np.ldexp(usual.by_layer("norm", "tail"), power), rtol=1e-6)


def test_a_measurement_has_the_norms_of_the_gradients() -> None:
    model = nn.Linear(3, 4).double()
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.arange(6) % 4
    with Lens(model, GROUPS, every=1, strict=True) as lens:
        lens.backward(F.cross_entropy(model(x), y) * 2.0**-660, y)
    m = lens.last
    assert m is not None
    truth = sum((p.grad * 2.0**660).square().sum() for p in model.parameters() if p.grad is not None)
    assert m.norm() == pytest.approx(float(torch.as_tensor(truth)) ** 0.5 * 2.0**-660, rel=1e-12)
    assert 0 < m.norm("tail", per="mean") < 1e-190


def test_usual_runs_have_usual_files(tmp_path: Path) -> None:
    run = train(tmp_path / "run", 0, layers=True)
    with pa.ipc.open_stream(run.path / "measurements-000.arrows") as stream:
        assert "exponent" not in stream.schema.names
        assert stream.schema.field("layers").type.value_type == pa.float32()


def test_a_training_that_leaves_the_range_begins_another_file_once(tmp_path: Path) -> None:
    model = nn.Linear(3, 4).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.arange(6) % 4
    powers = [0, 660, 0, -660]
    with Lens(model, GROUPS, out=tmp_path / "run", optimizer=optimizer, every=1, strict=True) as lens:
        for power in powers:
            lens.backward(F.cross_entropy(model(x), y) * 2.0**power, y)
            optimizer.step()
            optimizer.zero_grad()
    run = Run(tmp_path / "run")
    np.testing.assert_array_equal(run.norm("head"), np.ldexp(run.norm("head")[0], powers))
    assert len(list(run.path.glob("measurements-*.arrows"))) == 2


@pytest.mark.parametrize("power", [-100, 100])  # a layer's squares of 1e-60 and 1e60: float32 has neither
def test_layers_of_float32_gradients(power: int, tmp_path: Path) -> None:
    usual, far = (train(tmp_path / str(p), p, dtype=torch.float32, layers=True) for p in (0, power))
    for layer in usual.layers:
        np.testing.assert_allclose(
            far.norm("tail", layer=layer), np.ldexp(usual.norm("tail", layer=layer), power), rtol=1e-6
        )
        np.testing.assert_allclose(far.cosine("tail", layer), usual.cosine("tail", layer), atol=1e-6)
        assert not far.nonfinite("tail", layer).any()


def test_entries_that_are_not_finite_set_no_exponent() -> None:
    vector = [torch.tensor([float("inf"), 2.0**600], dtype=torch.float64)]
    (scaled,), exponent = in_range([vector], torch.device("cpu"))
    assert int(exponent) == 601
    assert scaled[0] is not None
    assert scaled[0].tolist() == [float("inf"), 0.5]
