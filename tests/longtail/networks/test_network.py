"""A network is a backbone and a classifier that may be replaced."""

import torch
from torch import nn

from gradlens.longtail.networks.network import Network


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
