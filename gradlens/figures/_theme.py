"""The looks of figures: a light and a dark theme, titles and margins, and escaped text for plotly."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

from gradlens.figures._sheet import Sheet

MOST_IN_A_LEGEND = 12
FONT = "Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif"


class FigureError(ValueError):
    """A figure cannot be drawn as asked. The message says why, and what can be drawn."""


@dataclass(frozen=True)
class Theme:
    """The colours of a theme.

    Attributes:
        name: "light" or "dark".
        paper: Background.
        ink: Colour of text and of the overall gradient.
        muted: Colour of secondary text and of marks.
        grid: Grid lines.
        band: Fill colour of every second phase.
        colors: Colours of names: the same eight hues in both themes. Each has a contrast of at least 3:1 against paper and band
            (WCAG 1.4.11). The first three are from Okabe and Ito (2008), "Color universal design".
        veil: Background of small texts, partly transparent.
        middle: Neutral middle of diverging colour scales.
        missing: Colour of heat map cells without a value: a grey that is in no colour scale.
    """

    name: str
    paper: str
    ink: str
    muted: str
    grid: str
    band: str
    colors: tuple[str, ...]
    veil: str
    middle: str
    missing: str

    @property
    def accent(self) -> str:
        """Colour of lines, points and bars that stand for no name."""
        return self.colors[0]

    def diverging(self) -> list[list[Any]]:
        """Returns a colour scale for -1 .. 0 .. 1: orange, neutral, blue."""
        return [[0.0, "#B34700"], [0.25, "#D55E00"], [0.5, self.middle], [0.75, self.accent], [1.0, self._deep]]

    def sequential(self) -> list[list[Any]]:
        """Returns a colour scale from 0 (neutral) to much (blue)."""
        return [[0.0, self.middle], [0.5, self.accent], [1.0, self._deep]]

    @property
    def _deep(self) -> str:
        return "#003F66" if self.name == "light" else "#BFE3FA"


LIGHT = Theme(
    "light", "#FFFFFF", "#1A1A1A", "#5F6770", "#E4E7EB", "rgba(0,0,0,0.045)",
    ("#0072B2", "#D55E00", "#009E73", "#BE4C94", "#7D6B00", "#6A3FC4", "#8E1B34", "#338AD8"),
    "rgba(255,255,255,0.75)", "#F4F5F6", "#868F99",
)  # fmt: skip
DARK = Theme(
    "dark", "#0E1117", "#F2F4F7", "#A3ACB8", "#2A313C", "rgba(255,255,255,0.06)",
    ("#56B4E9", "#FF8A3D", "#2CC295", "#F08CC8", "#F0E442", "#9B7BFF", "#C05A5A", "#8BE8F0"),
    "rgba(14,17,23,0.75)", "#20262F", "#78838F",
)  # fmt: skip


def theme_of(name: str) -> Theme:
    """Returns the theme of a name.

    Raises:
        FigureError: The name is neither "light" nor "dark".
    """
    if name not in ("light", "dark"):
        raise FigureError(f"theme={name!r}; choose 'light' or 'dark'")
    return LIGHT if name == "light" else DARK


def safe(text: object) -> str:
    """Returns text escaped for plotly, which shows it as it is: no markup, no templates, no formulas."""
    escaped = html.escape(str(text), quote=True)
    # "%{" starts a template and "$...$" a formula. Plotly looks for both before it turns entities into characters.
    return escaped.replace("%", "&#37;").replace("$", "&#36;").replace("\n", " ")


def dress(
    sheet: Sheet, theme: Theme, title: str, subtitle: str = "", *, height: int = 420, panel_titles: bool = False
) -> Sheet:
    """Sets the looks and the title of a figure.

    Args:
        sheet: The figure.
        theme: Its colours.
        title: The title, escaped with ``safe``.
        subtitle: The line below the title, escaped with ``safe``.
        height: Height of the figure in pixels.
        panel_titles: True if the panels have titles, which need room.

    Returns:
        The same figure.
    """
    # From the top, in pixels: title, subtitle, legend, titles of panels, panels.
    legend_at = 70 if subtitle else 46
    sheet.update_layout(
        paper_bgcolor=theme.paper,
        plot_bgcolor=theme.paper,
        font={"family": FONT, "size": 13, "color": theme.ink},
        title={
            "text": f"<b>{title}</b>",
            "subtitle": {"text": subtitle, "font": {"size": 12.5, "color": theme.muted}},
            "font": {"size": 17},
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 14},
        },
        legend={
            "orientation": "h", "x": 0, "xanchor": "left", "y": 1 - legend_at / height, "yref": "container", "yanchor": "top",
            "font": {"size": 13},
            "itemsizing": "constant", "bgcolor": "rgba(0,0,0,0)",
        },
        margin={"l": 76, "r": 24, "t": legend_at + (58 if panel_titles else 34), "b": 56},
        height=height,
        hovermode="x unified",
        hoverlabel={"bgcolor": theme.paper, "bordercolor": theme.grid, "font": {"color": theme.ink, "family": FONT}},
        dragmode="zoom",
    )  # fmt: skip
    # The margins fit numbers. Plotly's "automargin" draws everything twice, so only axes of names use it.
    axis: dict[str, Any] = {
        "gridcolor": theme.grid, "linecolor": theme.muted, "zeroline": False, "ticks": "outside", "ticklen": 4,
        "tickcolor": theme.muted, "title": {"standoff": 8, "font": {"size": 13}},
    }  # fmt: skip
    sheet.update_annotations(font={"size": 13.5})  # up to now the only texts are the titles of panels
    sheet.update_xaxes(showline=True, showgrid=False, **axis)
    sheet.update_yaxes(showline=False, showgrid=True, **axis)
    return sheet


def legend_of(lines: int) -> dict[str, Any]:
    """Returns the layout settings of a legend. With more than MOST_IN_A_LEGEND lines, the pointer names a line instead."""
    return {"showlegend": True} if lines <= MOST_IN_A_LEGEND else {"showlegend": False, "hovermode": "closest"}


def note(sheet: Sheet, theme: Theme, text: str) -> Sheet:
    """Writes into the middle of an empty figure why it is empty, and returns the figure. The text must be escaped."""
    sheet.update_xaxes(visible=False)
    sheet.update_yaxes(visible=False)
    sheet.add_annotation(
        text=text, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper", font={"size": 14, "color": theme.muted}
    )
    return sheet
