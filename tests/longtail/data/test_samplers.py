"""Sampler probabilities by hand, and drawn frequencies by chi-square."""

import pytest
import torch

from gradlens.longtail.data.counts import long_tailed_counts
from gradlens.longtail.data.samplers import (
    class_aware,
    class_balanced,
    draw,
    instance_balanced,
    progressively_balanced,
    reversed_frequency,
)
from gradlens.longtail.errors import LongTailError

# 99.9 % quantile of chi-square with 9 degrees of freedom
CHI2_9 = 27.88


def test_probabilities_by_hand():
    counts = [6, 3, 1]
    assert instance_balanced(counts).tolist() == pytest.approx([0.6, 0.3, 0.1])
    assert class_balanced(counts).tolist() == pytest.approx([1 / 3] * 3)
    # 1/6 : 1/3 : 1 = 1 : 2 : 6
    assert reversed_frequency(counts).tolist() == pytest.approx([1 / 9, 2 / 9, 6 / 9])
    # a quarter of the way: 0.75 * (0.6, 0.3, 0.1) + 0.25 / 3
    assert progressively_balanced(counts, 5, 20).tolist() == pytest.approx(
        [0.45 + 1 / 12, 0.225 + 1 / 12, 0.075 + 1 / 12]
    )


def test_progressive_runs_from_one_end_to_the_other():
    counts = long_tailed_counts(10, 200, 50)
    assert torch.equal(progressively_balanced(counts, 0, 7), instance_balanced(counts))
    assert torch.allclose(progressively_balanced(counts, 7, 7), class_balanced(counts))


def test_classes_without_images_get_nothing():
    for probabilities in (instance_balanced, class_balanced, reversed_frequency):
        p = probabilities([4, 0, 1])
        assert p[1] == 0
        assert p.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "probabilities",
    [instance_balanced, class_balanced, reversed_frequency, lambda counts: progressively_balanced(counts, 30, 100)],
    ids=["instance", "class", "reversed", "progressive"],
)
def test_drawn_frequencies_follow_the_formula(probabilities):
    counts = torch.from_numpy(long_tailed_counts(10, 200, 50))
    labels = torch.repeat_interleave(torch.arange(10), counts)
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))]
    size = 20_000
    positions = draw(labels, probabilities(counts), size, torch.Generator().manual_seed(0))
    assert positions.shape == (size,)
    drawn = labels[positions].bincount(minlength=10).double()
    expected = size * probabilities(counts)
    assert ((drawn - expected) ** 2 / expected).sum() < CHI2_9
    # Within a class every image is as likely as another.
    first = positions[labels[positions] == 0]
    images = torch.nonzero(labels == 0).flatten()
    seen = torch.stack([(first == image).sum() for image in images]).double()
    mean = len(first) / len(images)
    # 199 degrees of freedom, 99.9 % quantile 267.5
    assert ((seen - mean) ** 2 / mean).sum() < 267.5


def test_drawing_is_deterministic_and_leaves_the_global_state():
    labels = torch.arange(10).repeat(3)
    before = torch.get_rng_state()
    a, b = (draw(labels, class_balanced([3] * 10), 50, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(a, b)
    assert torch.equal(torch.get_rng_state(), before)


def test_class_aware_draws_by_hand_of_what_it_promises():
    labels = torch.tensor([0] * 7 + [2] * 2 + [3] * 5)  # class 1 has no images
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(2))]
    positions = class_aware(labels, 60, 4, torch.Generator().manual_seed(0))
    turns = labels[positions].view(15, 4)
    assert (turns == turns[:, :1]).all()
    rounds = turns[:, 0].view(5, 3)
    assert torch.equal(rounds.sort(1).values, torch.tensor([0, 2, 3]).expand(5, 3))
    assert len({tuple(one) for one in rounds.tolist()}) > 1
    for c, n in ((0, 7), (2, 2), (3, 5)):
        own = positions[labels[positions] == c]
        assert len(own) == 20
        for cycle in own.split(n):  # each image once before one comes again
            assert len(set(cycle.tolist())) == len(cycle)
    assert torch.equal(class_aware(labels, 58, 4, torch.Generator().manual_seed(0)), positions[:58])
    assert class_aware(labels, 0).tolist() == []


def test_class_aware_begins_with_every_class_and_image_alike():
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    generator = torch.Generator().manual_seed(0)
    firsts = torch.stack([class_aware(labels, 4, 4, generator)[0] for _ in range(3000)])
    drawn = firsts.bincount(minlength=10).double()
    expected = torch.tensor([500 / 3 for _ in range(6)] + [1000 / 3 for _ in range(3)] + [1000.0]).double()
    assert ((drawn - expected) ** 2 / expected).sum() < CHI2_9


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: class_aware(torch.tensor([0, 1]), 3, 0), "in_a_row=0"),
        (lambda: class_aware(torch.tensor([], dtype=torch.int64), 3), "0 images"),
        (lambda: progressively_balanced([1, 2], 5, 4), "epoch 5 of 4"),
        (lambda: instance_balanced([0, 0]), "not all zero"),
        (lambda: instance_balanced([1, -1]), "non-negative"),
        (lambda: draw(torch.tensor([0, 0]), torch.tensor([0.5, 0.5]), 3), r"classes \[1\] have no images"),
        (lambda: draw(torch.tensor([0, 2]), torch.tensor([0.5, 0.5]), 3), "2 classes do not fit labels of 3"),
    ],
)
def test_wrong_input_is_named(call, says):
    with pytest.raises(LongTailError, match=says):
        call()
