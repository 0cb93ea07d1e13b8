"""The CIFAR ResNets against published figures and a hand-built block."""

import math

import pytest
import torch
from torch import nn

from gradlens.longtail.networks.resnet_cifar import ResNetCifar, ShortcutA


def size(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_resnet32_has_the_published_number_of_parameters():
    assert size(ResNetCifar(32, 100)) == 470_004
    assert size(ResNetCifar(32, 100, norm="group")) == 470_004


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_sizes_of_the_original_paper_with_ten_classes(depth, millions):
    assert math.floor(size(ResNetCifar(depth, 10)) / 1e4) / 100 == pytest.approx(millions, abs=0.011)


def test_depth_counts_weighted_layers():
    weighted = [m for m in ResNetCifar(44, 10).modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weighted) == 44


def test_option_a_takes_every_second_pixel_and_pads_channels_on_both_sides():
    x = torch.arange(16.0).view(1, 1, 4, 4) + 1
    out = ShortcutA(3)(x)
    assert out.shape == (1, 4, 2, 2)
    assert out[0, 1].tolist() == [[1, 3], [9, 11]]
    assert out[0, [0, 2, 3]].abs().sum() == 0


def test_shapes_and_signs():
    torch.manual_seed(0)
    x = torch.randn(4, 3, 32, 32)
    model = ResNetCifar(20, 7)
    assert model(x).shape == (4, 7)
    assert model.embed(x).shape == (4, 64)
    assert (model.embed(x) >= 0).all()
    for signed in (False, True):
        model = ResNetCifar(20, 7, signed_features=signed)
        before_pooling = model.layer3(torch.randn(4, 32, 16, 16))
        assert (before_pooling < 0).any().item() is signed


def test_initial_weights_are_kaiming_normal():
    torch.manual_seed(0)
    model = ResNetCifar(32, 100)
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 9000:
            expected = math.sqrt(2 / (module.in_channels * 9))
            assert module.weight.std().item() == pytest.approx(expected, rel=0.05), name
    assert model.classifier.weight.std().item() == pytest.approx(math.sqrt(2 / 64), rel=0.05)


def test_group_norm_keeps_samples_apart_and_batch_norm_does_not():
    torch.manual_seed(0)
    x = torch.randn(3, 3, 32, 32)
    for norm, apart in (("group", True), ("batch", False)):
        model = ResNetCifar(20, 5, norm=norm)
        assert torch.allclose(model(x)[:1], model(x[:1].expand(3, -1, -1, -1))[:1], atol=1e-4) is apart


def test_a_given_classifier_is_used_as_it_is():
    head = nn.Linear(64, 3)
    weight = head.weight.detach().clone()
    model = ResNetCifar(20, classifier=head)
    assert torch.equal(model.classifier.weight, weight)
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="depth=33"):
        ResNetCifar(33)
    with pytest.raises(ValueError, match="norm='layer'"):
        ResNetCifar(32, norm="layer")
