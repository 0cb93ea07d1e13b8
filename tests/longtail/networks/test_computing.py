"""How a network computes: bfloat16 against rounding by hand, memory formats, compiled code, and values that are refused."""

import pytest
import torch
from torch import nn

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.networks.computing import Computing, fastest_precision
from gradlens.longtail.networks.network import Network

BFLOAT16 = 2.0**-8  # half the distance between neighbours, relative


class Products(Network):
    """The features are products of a matrix and the pixels."""

    def __init__(self):
        super().__init__()
        self.features, self.layer, self.classifier = 5, nn.Linear(12, 5, bias=False), nn.Linear(5, 3)
        self.seen = []

    def trunk(self, images):
        self.seen.append((images.is_contiguous(memory_format=torch.channels_last), torch.is_autocast_enabled("cpu")))
        return self.layer(images.flatten(1))


class Told(Network):
    """The features say whether they were computed by compiled code."""

    def __init__(self):
        super().__init__()
        self.features, self.classifier = 1, nn.Identity()
        self.scale = nn.Parameter(torch.ones(()))

    def trunk(self, images):
        return self.scale * images.flatten(1) * (10.0 if torch.compiler.is_compiling() else 1.0)


class NeverCompiled(Told):
    def trunk(self, images):
        return self.scale * images.flatten(1).sin().exp()


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Products()


IMAGES = torch.randn(7, 3, 2, 2, generator=torch.Generator().manual_seed(1))


def test_bfloat16_rounds_factors_and_features_but_not_the_classifier(network):
    embedded = network.computed(Computing("bfloat16")).embed(IMAGES)
    factors = (part.bfloat16().double() for part in (IMAGES.flatten(1), network.layer.weight))
    exact = torch.einsum("bi,di->bd", *factors)
    assert embedded.dtype == torch.float32
    assert torch.equal(embedded, embedded.bfloat16().float())
    torch.testing.assert_close(embedded.double(), exact, rtol=BFLOAT16, atol=1e-6)
    classifier = network.classifier
    assert torch.equal(network(IMAGES), nn.functional.linear(embedded, classifier.weight, classifier.bias))
    assert network.layer.weight.dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")


def test_float32_computes_as_the_trunk_itself(network):
    assert torch.equal(network.embed(IMAGES), nn.functional.linear(IMAGES.flatten(1), network.layer.weight))
    assert network.double().embed(IMAGES.double()).dtype == torch.float64
    assert {autocast for _, autocast in network.seen} == {False}


def test_images_and_convolutions_take_the_memory_format(network):
    network.convolution = nn.Conv2d(3, 4, 3)
    network.embed(IMAGES)
    assert network.computed(Computing(memory_format="channels_last")) is network
    network.embed(IMAGES)
    assert [last for last, _ in network.seen] == [False, True]
    assert network.convolution.weight.is_contiguous(memory_format=torch.channels_last)
    network.computed(Computing(memory_format="contiguous_format"))
    assert network.convolution.weight.is_contiguous()


def test_only_passes_that_train_are_compiled():
    network = Told().computed(Computing(compile=True)).train()
    image = torch.ones(2, 1, 1, 1)
    assert network(image)[0].item() == 10
    with torch.no_grad():
        assert network(image)[0].item() == 1
    assert network.eval()(image)[0].item() == 1
    assert Told().train()(image)[0].item() == 1


def test_a_compiler_that_is_absent_is_named():
    network = NeverCompiled().computed(Computing(compile=True)).train()
    absent = {"cpp.cxx": ("no-such-compiler",), "fx_graph_cache": False}
    with (
        torch._inductor.config.patch(absent),
        pytest.raises(LongTailError, match=r"cannot compile .* C\+\+ compiler such as g\+\+; train with compile=false"),
    ):
        network(torch.ones(2, 1, 1, 1))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"precision": "float16"}, "precision='float16'; choose 'float32' or 'bfloat16'"),
        ({"memory_format": "nhwc"}, "memory_format='nhwc'; choose 'channels_last' or 'contiguous_format'"),
    ],
)
def test_unknown_values_are_answered_with_the_known_ones(values, says):
    with pytest.raises(LongTailError, match=says):
        Computing(**values)


@pytest.mark.parametrize("amx", [True, False])
def test_a_cpu_is_faster_in_bfloat16_only_with_instructions_for_matrices(monkeypatch, amx):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert fastest_precision("cpu") == ("bfloat16" if amx else "float32")


@pytest.mark.parametrize(("capability", "fastest"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")])
def test_a_gpu_is_faster_in_bfloat16_from_ampere_on(monkeypatch, capability, fastest):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert fastest_precision("cuda") == fastest
