"""The network of the digits: its sizes and the signs of its features."""

import pytest
import torch

from gradlens.longtail.networks.digit_net import DigitNet


@pytest.mark.parametrize("width", [4, 16])
def test_sizes(width):
    net = DigitNet(7, width).eval()
    features = net.embed(torch.randn(3, 1, 8, 8))
    assert features.shape == (3, net.features) == (3, 4 * width)
    assert net(torch.randn(3, 1, 8, 8)).shape == (3, 7)
    # three convolutions without bias of 9 weights a pair of channels, two numbers a normalised channel, and the classifier
    convolutions = 9 * (width + 2 * width**2 + 8 * width**2)
    assert sum(p.numel() for p in net.parameters()) == convolutions + 2 * 7 * width + 7 * (4 * width + 1)


def test_features_are_signed_only_where_asked_for():
    torch.manual_seed(0)
    images = torch.randn(16, 1, 8, 8)
    assert (DigitNet().embed(images) >= 0).all()
    signed = DigitNet(signed_features=True).embed(images)
    assert (signed < 0).any()
    assert (signed > 0).any()


def test_what_makes_a_feature_is_its_own_image():
    torch.manual_seed(0)
    net, images = DigitNet().eval(), torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(net.embed(images)[1], net.embed(images[1:])[0])
