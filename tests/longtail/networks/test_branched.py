"""Cut and branched networks: what is shared, what is not, their sizes, and how they compute."""

import pytest
import torch
from torch import nn

from gradlens.longtail.networks.branched import BranchedNetwork
from gradlens.longtail.networks.computing import Computing
from gradlens.longtail.networks.digit_net import DigitNet
from gradlens.longtail.networks.network import Network
from gradlens.longtail.networks.resnet_cifar import ResNetCifar
from gradlens.longtail.networks.resnet_large import ResNetLarge

NETWORKS = {
    "digits": (DigitNet, (1, 8, 8)),
    "resnet-20": (lambda **given: ResNetCifar(20, 10, **given), (3, 32, 32)),
    "resnet-10": (lambda **given: ResNetLarge(10, 10, **given), (3, 64, 64)),
    "resnet-50": (lambda **given: ResNetLarge(50, 10, **given), (3, 64, 64)),
}
CUTS = {"last block": Network.before_last_block, "first stages": lambda network: network.after_first_stages(1.0)}


def size(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", NETWORKS)
def test_both_parts_together_are_the_network(name, cut):
    """The upper part gets the weights of the network's own, in the same order."""
    make, shape = NETWORKS[name]
    for signed in (False, True):
        network = make(signed_features=signed).eval()
        parts = type(network).before_last_block(network) if cut == "last block" else network.after_first_stages(1.0)
        upper = parts.upper().eval()
        trunk = {name: value for name, value in network.state_dict().items() if not name.startswith("classifier")}
        own = list(trunk.values())[len(parts.lower.state_dict()) :]
        upper.load_state_dict(dict(zip(upper.state_dict(), own, strict=True)))
        images = torch.randn(2, *shape)
        assert torch.equal(upper(parts.lower(images)), network.embed(images))
        assert parts.features == network.features


def test_the_sizes_are_those_of_the_references():
    """ResNet-32 has 15 blocks. BBN makes the last one twice; RIDE has stages of 24 and 48 channels for each expert."""
    bbn = BranchedNetwork(ResNetCifar(32, 100).before_last_block(), 2, nn.Linear(128, 100))
    last_block = 2 * 64 * 64 * 9 + 4 * 64
    assert size(bbn) == 470_004 - (64 * 100 + 100) + last_block + 128 * 100 + 100
    cut = ResNetCifar(32, 100).after_first_stages(0.75)
    stages = [9 * 16 * 24 + 9 * 24 * 24 * 9 + 10 * 2 * 24, 9 * 24 * 48 + 9 * 48 * 48 * 9 + 10 * 2 * 48]
    assert (cut.features, size(cut.upper())) == (48, sum(stages))
    large = ResNetLarge(50, 10).after_first_stages(0.75)
    assert large.features == 1536
    assert large.upper()(large.lower(torch.randn(1, 3, 64, 64))).shape == (1, 1536)


@pytest.fixture
def branched():
    torch.manual_seed(0)
    return BranchedNetwork(DigitNet().before_last_block(), 2, nn.Linear(128, 10)).eval()


def test_branches_have_weights_of_their_own(branched):
    first, second = (upper.state_dict()["0.0.weight"] for upper in branched.uppers)
    assert not torch.equal(first, second)
    assert abs(float(first.std() / second.std()) - 1) < 0.05


def test_features_are_those_of_the_branches_side_by_side(branched):
    images = torch.randn(5, 1, 8, 8)
    both = torch.cat([branched.embed_branch(images, 0), branched.embed_branch(images, 1)], 1)
    assert torch.equal(branched.embed(images), both)
    assert torch.equal(branched(images), branched.classifier(both))


def test_a_branch_computes_as_the_network_does(branched):
    images = torch.randn(5, 1, 8, 8)
    exact = branched.embed_branch(images, 1)
    rounded = branched.computed(Computing("bfloat16", "channels_last")).embed_branch(images, 1)
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.05)


def test_kaiming_weights_in_every_branch_of_a_cifar_network():
    cut = ResNetCifar(32).after_first_stages(0.75)
    for upper in (cut.upper(), cut.upper()):
        for module in upper.modules():
            if isinstance(module, nn.Conv2d):
                expected = (2 / (9 * module.in_channels)) ** 0.5
                assert float(module.weight.detach().std()) == pytest.approx(expected, rel=0.1)
