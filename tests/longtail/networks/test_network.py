"""A network is a backbone and a classifier that may be replaced."""

import pytest
import torch
from torch import nn

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.networks.computing import Computing
from gradlens.longtail.networks.digit_net import DigitNet
from gradlens.longtail.networks.network import Network
from gradlens.longtail.networks.resnet_cifar import ResNetCifar
from gradlens.longtail.networks.resnet_large import ResNetLarge


class Doubling(Network):
    def __init__(self):
        super().__init__()
        self.features, self.classifier = 2, nn.Linear(2, 3, bias=False)

    def trunk(self, images):
        return 2 * images


def test_logits_are_those_of_the_present_classifier():
    network, images = Doubling(), torch.tensor([[1.0, 3.0]])
    network.classifier = nn.Linear(2, 1, bias=False)
    nn.init.constant_(network.classifier.weight, 0.5)
    assert network(images).tolist() == [[4.0]]


@pytest.mark.parametrize(
    ("make", "images", "shape"),
    [
        (DigitNet, (3, 1, 8, 8), (3, 64, 2, 2)),
        (lambda: ResNetCifar(8), (3, 3, 32, 32), (3, 64, 8, 8)),
        (lambda: ResNetLarge(10, 5), (3, 3, 64, 64), (3, 512, 2, 2)),
    ],
    ids=["digit net", "ResNet of CIFAR", "large ResNet"],
)
def test_features_are_the_means_of_the_feature_maps_or_of_what_attention_makes_of_them(make, images, shape):
    torch.manual_seed(0)
    network, images = make().eval(), torch.randn(images)
    with torch.no_grad():
        maps = network.feature_maps(images)
        assert maps.shape == shape
        assert torch.equal(network.embed(images), network.pooled(maps))
        assert torch.allclose(network.embed(images), maps.mean((2, 3)), atol=1e-6)
        network.attention = nn.Conv2d(shape[1], shape[1], 1)
        assert torch.equal(network.embed(images), network.pooled(network.attention(maps)))
        assert torch.equal(network.feature_maps(images), maps)
    assert "attention.weight" in network.state_dict()


def test_feature_maps_are_computed_as_features_are():
    network = DigitNet().eval().computed(Computing("bfloat16", "channels_last"))
    images = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        maps = network.feature_maps(images)
        assert maps.dtype == torch.float32
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(maps, network.maps(images).float())


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda network: network.maps(torch.ones(1, 2)), "Doubling has no feature maps; take another backbone"),
        (Network.before_last_block, "Doubling cannot be cut before its last block; take another backbone"),
        (
            lambda network: network.after_first_stages(1.0),
            "Doubling cannot be cut after its first stages; take another",
        ),
    ],
)
def test_what_a_network_does_not_have_is_refused_with_a_way_out(ask, says):
    with pytest.raises(LongTailError, match=says):
        ask(Doubling())
