"""One smoothing window for several runs, and how the subtitle says it."""

import pytest

from gradlens import figures
from tests.figures.pair import subtitle


@pytest.mark.parametrize(
    "draw",
    [
        lambda *runs: figures.figure1(*runs),
        lambda *runs: figures.distortion_curves(runs),
        lambda *runs: figures.overlay(runs, "share", "tail"),
    ],
)
def test_the_subtitle_does_not_call_single_steps_means(short, long, draw):
    assert "mean over 9 steps of training, 3 to 9 of them measured" in subtitle(draw(short, long))
    assert "mean over 9 steps of training, 9 of them measured" in subtitle(draw(long, long))
    assert "every measured step" in subtitle(draw(short, short))
