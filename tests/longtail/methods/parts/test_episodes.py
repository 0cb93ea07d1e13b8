"""Episodes: their layout, what they draw, how many there are."""

from __future__ import annotations

import torch

from gradlens.longtail.methods.parts.episodes import Episodes
from gradlens.longtail.recipe.visiting import PhaseProgress

COUNTS = (9, 7, 8, 6, 7)
LABELS = torch.repeat_interleave(torch.arange(5), torch.tensor(COUNTS))[
    torch.randperm(sum(COUNTS), generator=torch.Generator().manual_seed(4))
]
EPISODES = Episodes(novel=3, exemplars=2, queries=4, other_queries=5, number=200)


def drawn(episodes=EPISODES, seed=0):
    rows = episodes(LABELS, PhaseProgress(0, 1), torch.Generator().manual_seed(seed))
    return rows.view(-1, episodes.size)


def test_an_episode_has_exemplars_then_queries_of_the_same_classes_then_queries_of_the_others():
    assert (EPISODES.support, EPISODES.size) == (6, 23)
    for rows in drawn():
        labels = LABELS[rows]
        novel = labels[:6:2]
        assert len(novel.unique()) == 3
        assert torch.equal(labels[:6], novel.repeat_interleave(2))
        assert torch.equal(labels[6:18], novel.repeat_interleave(4))
        assert not set(labels[18:].tolist()) & set(novel.tolist())
        assert len(rows[:18].unique()) == 18  # no exemplar is a query


def test_classes_and_images_are_drawn_uniformly():
    """Chi-square against equal chances; the bounds are the 0.9999 quantiles of 4 and 36 degrees of freedom."""
    rows = drawn(Episodes(3, 2, 4, 5, 2000))
    novel = torch.bincount(LABELS[rows[:, :6:2]].flatten(), minlength=5).double()
    assert float(((novel - 1200) ** 2 / 1200).sum()) < 23.5
    others = torch.bincount(LABELS[rows[:, 18:]].flatten(), minlength=5).double()
    assert float(((others - 2000) ** 2 / 2000).sum()) < 5 * 23.5  # five queries of an episode share two classes
    images = torch.bincount(rows[:, :6].flatten(), minlength=len(LABELS)).double()
    expected = 2400 / torch.tensor(COUNTS, dtype=torch.float64)[LABELS]
    assert float(((images - expected) ** 2 / expected).sum()) < 80


def test_an_epoch_has_about_the_images_of_the_phase_and_at_least_one_episode():
    assert len(drawn(Episodes(3, 2, 4, 5))) == 1
    assert len(drawn(Episodes(1, 1, 1, 1))) == 37 // 3
    assert len(drawn(Episodes(4, 2, 4, 14))) == 1  # larger than the data set
    assert torch.equal(drawn(seed=3), drawn(seed=3))
    assert not torch.equal(drawn(seed=3), drawn(seed=4))
