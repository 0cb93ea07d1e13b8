"""How the line or bar of a name looks: the same in every figure that this process draws, whatever else a figure shows.

A name takes the next free style when it is drawn for the first time and keeps it. The groups of the literature have styles of
their own, which nobody else gets. With more names than hues the dashes differ, then marks on the lines: no two names look alike.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from gradlens.figures._theme import Theme

if TYPE_CHECKING:
    from gradlens.runlog import Run

Kind = Literal["group", "pair", "run", "term", "method"]
# Neither the dots of the overall gradient nor those of what noise alone reaches.
DASHES = ("solid", "10px,3px", "3px,3px", "10px,3px,2px,3px", "10px,3px,2px,3px,2px,3px")
# Dots on a line are single steps, so a circle marks no name.
MARKS = (
    None, "square", "diamond", "triangle-up", "x", "star", "cross", "triangle-down", "hexagon", "square-open", "diamond-open",
    "triangle-up-open", "star-open", "hexagon-open",
)  # fmt: skip
PATTERNS = ("", "/", "x", "-", "|", "+", "\\", ".")
MARKS_ON_A_LINE = 12
# The last group of a long tail stands out as the head does.
OWN = {("group", name): place for place, name in enumerate(("head", "tail", "many", "few", "medium"))}

_places: dict[tuple[str, str], int] = dict(OWN)
_lock = threading.Lock()


@dataclass(frozen=True)
class Style:
    """How one line or bar is drawn.

    Attributes:
        color: Of all of it.
        dash: Of the line; keeps lines apart where colours do not.
        width: Of the line, in pixels.
        mark: Symbol on the line, or None.
        pattern: Of a bar.
    """

    color: str
    dash: str = "solid"
    width: float = 2.0
    mark: str | None = None
    pattern: str = ""

    @property
    def line(self) -> dict[str, Any]:
        """What plotly calls the line of a trace."""
        return {"color": self.color, "width": self.width, "dash": self.dash}

    @property
    def marked(self) -> dict[str, Any]:
        """What a trace of plotly needs to be a line with its marks, a dozen of them however many points it has."""
        if self.mark is None:
            return {"mode": "lines"}
        marker = {"symbol": self.mark, "size": 7, "color": self.color, "maxdisplayed": MARKS_ON_A_LINE}
        return {"mode": "lines+markers", "marker": marker}

    @property
    def dots(self) -> str:
        """Dash of a thin line that goes with this one; as far apart as it has to be to differ from those of other names."""
        return f"1px,{2 + DASHES.index(self.dash)}px"

    def points(self, size: int) -> dict[str, Any]:
        """What a trace of plotly needs to be a line with all its points on it."""
        marker = {"symbol": self.mark or "circle", "size": size, "color": self.color}
        return {"mode": "lines+markers", "marker": marker}


def style_of(kind: Kind, name: str, theme: Theme) -> Style:
    """Returns the style of a name; the same name of another kind has another one."""
    with _lock:
        place = _places.setdefault((kind, name), len(_places))
    hues = len(theme.colors)
    turn, hue = divmod(place, hues)
    # Neighbours in the list of hues, which colour-blind people may mix up, have different dashes from the first.
    dash = (turn + hue % 2) % len(DASHES)
    mark = MARKS[turn // len(DASHES) % len(MARKS)]
    return Style(theme.colors[hue], DASHES[dash], mark=mark, pattern=PATTERNS[turn % len(PATTERNS)])


def styles_of(kind: Kind, names: Iterable[str], theme: Theme) -> dict[str, Style]:
    """Returns the style of each name."""
    return {name: style_of(kind, name, theme) for name in names}


def pair_style(a: str, b: str, theme: Theme) -> Style:
    """Returns the style of a pair of groups, in whatever order."""
    return style_of("pair", "\n".join(sorted((a, b))), theme)


def run_style(run: Run, theme: Theme) -> Style:
    """Returns the style of a run: of its folder, since runs of different folders may have one name."""
    return style_of("run", str(run.path.resolve()), theme)


def whole_style(theme: Theme) -> Style:
    """Returns the style of what stands for all groups together: the overall gradient, the whole loss."""
    return Style(theme.ink, "2px,3px", 2.2)


def rest_style(theme: Theme) -> Style:
    """Returns the style of what belongs to no group."""
    return Style(theme.muted, "dashdot", 1.5)
