"""A small picture of each quantity, as SVG. Blue is the head, orange the tail, grey everything together.

A picture has its own light background, since it is an image: the colours of the page do not reach into it.
"""

from __future__ import annotations

import base64
import html
import math

WIDTH, HEIGHT = 150, 76
HEAD, TAIL, ALL, INK, PAPER = "#0072B2", "#D55E00", "#6B7280", "#1F2328", "#F3F5F7"
# Where the arrows of a picture begin, and how long one unit of them is.
START, UNIT = (34.0, 58.0), 62.0


def picture(name: str, words: str) -> str:
    """Returns the picture of a quantity as an HTML image; "" if it has none.

    Args:
        name: Name of the quantity in the catalogue.
        words: What a screen reader says.
    """
    parts = PICTURES.get(name)
    if parts is None:
        return ""
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif"><rect width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{PAPER}"/>{"".join(parts)}</svg>'
    )
    code = base64.b64encode(drawn.encode()).decode()
    return f'<img width="{WIDTH}" height="{HEIGHT}" alt="{html.escape(words)}" src="data:image/svg+xml;base64,{code}">'


def _arrow(degrees: float, length: float, color: str, *, start: tuple[float, float] = START) -> str:
    x, y = start
    angle = math.radians(degrees)
    end = (x + UNIT * length * math.cos(angle), y - UNIT * length * math.sin(angle))
    wings = [
        f"{end[0] - 7 * math.cos(angle + turn):.1f},{end[1] + 7 * math.sin(angle + turn):.1f}" for turn in (0.45, -0.45)
    ]
    head = f'<polygon points="{end[0]:.1f},{end[1]:.1f} {wings[0]} {wings[1]}" fill="{color}"/>'
    return f'<path d="M{x} {y}L{end[0]:.1f} {end[1]:.1f}" stroke="{color}" stroke-width="2.5"/>{head}'


def _arc(first: float, last: float, radius: float) -> str:
    (x, y), points = START, []
    for place in range(13):
        angle = math.radians(first + (last - first) * place / 12)
        points.append(f"{x + radius * math.cos(angle):.1f} {y - radius * math.sin(angle):.1f}")
    return f'<path d="M{"L".join(points)}" fill="none" stroke="{INK}" stroke-width="1.2"/>'


def _bar(y: float, parts: tuple[float, ...], colors: tuple[str, ...] = (HEAD, TAIL)) -> str:
    drawn, x = [], 12.0
    for part, color in zip(parts, colors, strict=True):
        drawn.append(f'<rect x="{x:.1f}" y="{y}" width="{126 * part:.1f}" height="16" fill="{color}"/>')
        x += 126 * part
    return "".join(drawn)


def _text(x: float, y: float, text: str, color: str = INK) -> str:
    return f'<text x="{x}" y="{y}" font-size="11" fill="{color}">{html.escape(text)}</text>'


def _dots(head: int, tail: int, crossed: tuple[int, ...] = ()) -> str:
    drawn = []
    for place in range(head + tail):
        x, y = 18 + 19 * (place % 7), 20 + 20 * (place // 7)
        color = HEAD if place < head else TAIL
        drawn.append(f'<circle cx="{x}" cy="{y}" r="6" fill="{color}"/>')
        if place in crossed:
            drawn.append(f'<path d="M{x - 7} {y + 7}L{x + 7} {y - 7}" stroke="{INK}" stroke-width="2"/>')
    return "".join(drawn)


def _curve(falls: float, color: str, y: float = 14.0) -> str:
    return (
        f'<path d="M14 {y}C50 {y + 4} 60 {y + falls} 136 {y + falls}" fill="none" stroke="{color}" stroke-width="2.5"/>'
        f'<path d="M138 {y}V{y + falls}" stroke="{INK}" stroke-width="1.2" stroke-dasharray="3 2"/>'
    )


PICTURES: dict[str, tuple[str, ...]] = {
    "sample_share": (_dots(11, 3), _text(12, 70, "3 of 14 samples")),
    "share": (_text(12, 18, "the update"), _bar(26, (0.85, 0.15)), _text(12, 62, "head 85%"), _text(100, 62, "tail 15%")),
    "cosine": (_arrow(0, 1.5, ALL), _arrow(38, 1.1, HEAD), _arc(0, 38, 30), _text(70, 44, "angle")),
    "norm": (_arrow(25, 1.4, HEAD), _text(34, 74, "length"), _arrow(25, 0.35, TAIL, start=(60.0, 66.0))),
    "mean_norm": (_arrow(25, 1.0, HEAD), _arrow(25, 1.0, TAIL, start=(60.0, 66.0)), _text(4, 14, "for each sample")),
    "benefit": (_curve(8, TAIL, 12), _curve(34, HEAD, 28), _text(12, 74, "loss before, after")),
    "loss_per_sample": (_bar(20, (0.25, 0.0)), _bar(44, (0.0, 0.7)), _text(48, 33, "head"), _text(104, 57, "tail")),
    "accuracy": (_dots(11, 3, (4, 12, 13)), _text(12, 70, "1 of 3 is right")),
    "conflict": (_arrow(20, 1.0, HEAD, start=(70.0, 58.0)), _arrow(140, 0.7, TAIL, start=(70.0, 58.0)), _text(56, 74, "< 0")),
    "overall_norm": (_arrow(15, 1.6, ALL), _text(34, 74, "length")),
    "total_loss": (_curve(40, ALL),),
    "residual": (
        _arrow(10, 0.8, HEAD), _arrow(50, 0.5, TAIL, start=(82.9, 49.4)), _arrow(25.3, 1.22, ALL), _text(34, 74, "adds up"),
    ),
    "distortion": (
        _bar(12, (0.85, 0.15)), _text(12, 42, "update"), _bar(46, (0.5, 0.5)), _text(12, 74, "classes"),
    ),
}  # fmt: skip
