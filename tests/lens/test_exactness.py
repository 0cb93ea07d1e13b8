"""The lens on the whole zoo: every entry of the Gram, by layer and in whole, against float64 brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gradlens import Lens
from tests.engines.oracle import brute_force
from tests.engines.zoo import GROUPS, ZOO
from tests.lens.oracle import apart, gram, layer_grams

pytestmark = pytest.mark.usefixtures("one_thread")


ENGINES = ("masked", "split", "func")


def measure_twice(name: str, engine: str) -> tuple[nn.Module, Lens]:
    """Two equal steps: the first is checked by the masked engine, the second is the chosen engine's own."""
    case = ZOO[name]
    model, inputs, labels = case.build()
    with Lens(model, GROUPS, every=1, engine=engine, layers=True, strict=True) as lens:
        for _ in range(2):
            torch.manual_seed(7)
            lens.backward(case.loss(model(*inputs), labels).mean(), labels)
            model.zero_grad()
    return model, lens


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_entry_agrees_with_brute_force(engine: str, name: str) -> None:
    model, lens = measure_twice(name, engine)
    m = lens.last
    assert m is not None
    assert m.step == 1
    assert lens.engine_name == ("masked" if engine in ZOO[name].refuses else engine)
    vectors = [*brute_force(name), tuple(None for p in model.parameters() if p.requires_grad)]
    assert m.names == (*GROUPS.names, "rest")
    whole = gram(vectors)
    # Layers whose gradient is zero in exact arithmetic (a bias before BatchNorm) hold rounding of the whole's size.
    noise = 1e-10 * whole[:-1, :-1].max()
    assert apart(m.gram, whole, noise) <= 1e-4
    _, layers = layer_grams(model, vectors)
    assert m.layers is not None
    assert apart(m.layers.astype(np.float64), layers, noise) <= 1e-4
    assert m.residual <= 1e-5


def test_layers_carry_the_names_of_the_modules_that_own_parameters(tmp_path: Any) -> None:
    from gradlens import Run

    case = ZOO["vit-qkv"]
    model, inputs, labels = case.build()
    with Lens(model, GROUPS, out=tmp_path / "run", every=1, layers=True) as lens:
        lens.backward(case.loss(model(*inputs), labels).mean(), labels)
    names, _ = layer_grams(model, [[None] * len(list(model.parameters()))])
    run = Run(tmp_path / "run")
    assert list(run.layers) == names
    assert "(root)" in names
    assert lens.last is not None
    np.testing.assert_allclose(run.gram()[0], lens.last.gram, rtol=1e-12)
    np.testing.assert_allclose(sum(run.gram(layer) for layer in names)[0], lens.last.gram, rtol=1e-5)
