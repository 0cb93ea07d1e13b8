"""Modulated attention: it starts as the identity, and equals loops over the positions."""

from __future__ import annotations

import torch

from gradlens.longtail.methods.parts.modulated_attention import ModulatedAttention


def attention():
    torch.manual_seed(0)
    return ModulatedAttention(4, 2, 3).double()


def test_at_first_the_maps_stay_as_they_are_and_the_last_layer_gets_a_gradient():
    made, maps = attention(), torch.randn(2, 4, 2, 3).double()
    out = made(maps)
    assert torch.equal(out, maps)
    out.square().sum().backward()
    assert made.back.weight.grad.abs().max() > 0


def test_it_equals_loops_over_samples_positions_and_channels():
    made, maps = attention(), torch.randn(2, 4, 2, 3).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))

    def layer(conv, x):
        made = conv.weight[:, :, 0, 0] @ x
        return made if conv.bias is None else made + conv.bias

    expected = torch.empty_like(maps)
    for n, sample in enumerate(maps):
        places = [sample[:, y, x] for y in range(2) for x in range(3)]
        scores = made.modulation.weight @ sample.reshape(-1) + made.modulation.bias
        where = torch.exp(scores) / torch.exp(scores).sum()
        for p, here in enumerate(places):
            near = torch.stack([torch.exp(layer(made.queries, here) @ layer(made.keys, there)) for there in places])
            recalled = sum(
                weight * layer(made.values, there) for weight, there in zip(near / near.sum(), places, strict=True)
            )
            expected[n, :, p // 3, p % 3] = here + where[p] * layer(made.back, recalled)
    assert torch.allclose(made(maps), expected, rtol=1e-10)


def test_its_first_weights_are_those_of_the_reference():
    torch.manual_seed(0)
    made = ModulatedAttention(64, 2, 2)
    for layer in (made.queries, made.keys, made.values):
        assert layer.weight.shape == (32, 64, 1, 1)
        assert layer.bias.eq(0).all()
        assert 0.17 < float(layer.weight.detach().std()) < 0.185  # sqrt(2 / 64)
    assert made.back.weight.eq(0).all()
    assert made.modulation.weight.shape == (4, 256)
