"""Themes: colours that stand out from the paper."""

import pytest

from gradlens import figures
from gradlens.figures import FigureError


def test_an_unknown_theme():
    with pytest.raises(FigureError, match="theme='pink'"):
        figures.distortion_curves([], theme="pink")


def luminance(color):
    linear = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in linear)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a, b):
    """Returns the contrast ratio of WCAG 2.2."""
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def over(band, paper):
    """Returns a half transparent colour on paper as an opaque one."""
    *rgb, alpha = (float(part) for part in band.removeprefix("rgba(").removesuffix(")").split(","))
    under = [int(paper[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(alpha * c + (1 - alpha) * u):02X}" for c, u in zip(rgb, under, strict=True))


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK])
def test_every_colour_stands_out_from_paper_and_phases(theme):
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    for color in (*theme.colors, theme.ink, theme.muted):
        assert contrast(color, theme.paper) >= 3, color
        assert contrast(color, over(theme.band, theme.paper)) >= 3, color
    assert contrast(theme.missing, theme.paper) >= 3
    assert contrast(theme.missing, theme.middle) >= 2.5  # the colour of zero
