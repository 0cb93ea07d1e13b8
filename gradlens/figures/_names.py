"""The style of each name's line or bar. A name has the same style in every figure that this process draws.

A name gets the next free style when it is drawn for the first time, and keeps it. The usual groups (head, tail, many,
medium, few) have fixed styles that no other name gets. Names of the same hue have different dashes or marks.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from gradlens.figures._theme import Theme

if TYPE_CHECKING:
    from gradlens.runlog import Run

StyleKind = Literal["group", "pair", "run", "term", "method"]
# None of these looks like the dots of the overall gradient or of the noise level.
DASHES = ("solid", "10px,3px", "3px,3px", "10px,3px,2px,3px", "10px,3px,2px,3px,2px,3px")
# Dots on a line mean single steps, so no name has a circle as its mark.
MARKS = (
    None, "square", "diamond", "triangle-up", "x", "star", "cross", "triangle-down", "hexagon", "square-open", "diamond-open",
    "triangle-up-open", "star-open", "hexagon-open",
)  # fmt: skip
PATTERNS = ("", "/", "x", "-", "|", "+", "\\", ".")
MARKS_ON_A_LINE = 12
# The fixed styles. The colours of head and tail stand out most.
OWN = {("group", name): place for place, name in enumerate(("head", "tail", "many", "few", "medium"))}

_places: dict[tuple[str, str], int] = dict(OWN)
_lock = threading.Lock()


@dataclass(frozen=True)
class Style:
    """How a line or bar is drawn.

    Attributes:
        color: Colour of the line, its marks and the bar.
        dash: Dash of the line. It tells lines of similar colours apart.
        width: Width of the line in pixels.
        mark: Symbol on the line, or None.
        pattern: Pattern of the bar.
    """

    color: str
    dash: str = "solid"
    width: float = 2.0
    mark: str | None = None
    pattern: str = ""

    @property
    def line(self) -> dict[str, Any]:
        """Plotly's ``line`` settings of a trace."""
        return {"color": self.color, "width": self.width, "dash": self.dash}

    @property
    def marked(self) -> dict[str, Any]:
        """Plotly's settings for a line with at most 12 marks, however many points it has."""
        if self.mark is None:
            return {"mode": "lines"}
        marker = {"symbol": self.mark, "size": 7, "color": self.color, "maxdisplayed": MARKS_ON_A_LINE}
        return {"mode": "lines+markers", "marker": marker}

    @property
    def dots(self) -> str:
        """Dash of the thin dotted line that belongs to this line. Lines of different dashes have different gaps in it."""
        return f"1px,{2 + DASHES.index(self.dash)}px"

    def points(self, size: int) -> dict[str, Any]:
        """Returns plotly's settings for a line with a symbol on each point.

        Args:
            size: Size of the symbols in pixels.
        """
        marker = {"symbol": self.mark or "circle", "size": size, "color": self.color}
        return {"mode": "lines+markers", "marker": marker}


def style_of(kind: StyleKind, name: str, theme: Theme) -> Style:
    """Returns the style of a name. The same name of another kind has another style."""
    with _lock:
        place = _places.setdefault((kind, name), len(_places))
    hues = len(theme.colors)
    turn, hue = divmod(place, hues)
    # Colour-blind people may confuse neighbouring hues, so neighbours have different dashes.
    dash = (turn + hue % 2) % len(DASHES)
    mark = MARKS[turn // len(DASHES) % len(MARKS)]
    return Style(theme.colors[hue], DASHES[dash], mark=mark, pattern=PATTERNS[turn % len(PATTERNS)])


def styles_of(kind: StyleKind, names: Iterable[str], theme: Theme) -> dict[str, Style]:
    """Returns name -> style."""
    return {name: style_of(kind, name, theme) for name in names}


def pair_style(a: str, b: str, theme: Theme) -> Style:
    """Returns the style of a pair of groups. The order of the two does not matter."""
    return style_of("pair", "\n".join(sorted((a, b))), theme)


def run_style(run: Run, theme: Theme) -> Style:
    """Returns the style of a run. It belongs to the run's folder, since two folders may hold runs of the same name."""
    return style_of("run", str(run.path.resolve()), theme)


def run_color(run: Run, theme: Theme) -> str:
    """Returns the colour of a run's lines, for lists beside the figures."""
    return run_style(run, theme).color


def whole_style(theme: Theme) -> Style:
    """Returns the style of the overall gradient and the whole loss: everything that stands for all groups together."""
    return Style(theme.ink, "2px,3px", 2.2)


def rest_style(theme: Theme) -> Style:
    """Returns the style of the rest: what belongs to no group."""
    return Style(theme.muted, "dashdot", 1.5)
