"""What tasks of small images share: normalised input, and the network of the settings."""

import pytest
import torch

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.tasks.small_images import BORROWED, SETTINGS, preparing, resnet


def test_bytes_become_normalised_input_of_three_channels():
    prepare = preparing([0.5, 0.0, 0.25], [0.5, 1.0, 0.25])
    grey = torch.full((1, 1, 2, 2), 255, dtype=torch.uint8)
    assert prepare(grey)[0, :, 0, 0].tolist() == pytest.approx([1, 1, 3])  # (1 - 0.5) / 0.5, 1, (1 - 0.25) / 0.25
    colour = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 3, 1, 1)
    torch.testing.assert_close(prepare(colour).flatten(), torch.tensor([-1.0, 0.2, 3.0]))


@pytest.mark.parametrize("depth", [20, 32])
def test_the_depth_is_read_from_the_name(depth):
    network = resnet(7)(SETTINGS.changed({"backbone": f"resnet-{depth}"}), False)
    assert sum(isinstance(m, torch.nn.Conv2d) for m in network.modules()) == depth - 1
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 7)


@pytest.mark.parametrize("backbone", ["resnet", "resnet-x", "vgg-16"])
def test_unknown_backbones_are_answered_with_the_known_ones(backbone):
    with pytest.raises(LongTailError, match=f"backbone='{backbone}'; choose resnet-20"):
        resnet(7)(SETTINGS.changed({"backbone": backbone}), False)
    with pytest.raises(LongTailError):
        resnet(7)(SETTINGS.changed({"backbone": "resnet-33"}), False)


def test_borrowed_settings_have_the_values_and_say_whose_they_are():
    assert dict(BORROWED) == dict(SETTINGS)
    borrowed = [name for name in BORROWED if BORROWED.source(name).startswith("as for CIFAR100-LT")]
    assert set(BORROWED) - set(borrowed) == {"precision", "memory_format", "compile"}
