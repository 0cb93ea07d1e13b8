"""How figures look: their colours, light and dark; and text made safe for plotly."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

from gradlens.figures._sheet import Sheet

FONT = "Inter, 'Helvetica Neue', Helvetica, Arial, sans-serif"


class FigureError(ValueError):
    """A figure that cannot be drawn as asked; the message says why and what can be."""


@dataclass(frozen=True)
class Theme:
    """Colours of one theme.

    Attributes:
        name: "light" or "dark".
        paper: Background.
        ink: Text and the overall gradient.
        muted: Secondary text, marks.
        grid: Grid lines.
        band: Fill of every second phase.
        colors: Of names: the same eight hues in both themes, each at least 3:1 against paper and band (WCAG 1.4.11), the first
            three those of Okabe and Ito (2008), "Color universal design".
        veil: Half transparent background of small texts.
        middle: Neutral middle of diverging colour scales.
        missing: Cells of a heat map without a value: a grey that no colour scale has.
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
        """Colour of what has no name."""
        return self.colors[0]

    def diverging(self) -> list[list[Any]]:
        """Returns a colour scale for -1 .. 0 .. 1: orange, neutral, blue."""
        return [[0.0, "#B34700"], [0.25, "#D55E00"], [0.5, self.middle], [0.75, self.accent], [1.0, self._deep]]

    def sequential(self) -> list[list[Any]]:
        """Returns a colour scale from nothing to much."""
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
    """Returns a theme by name.

    Raises:
        FigureError: Another name than "light" or "dark".
    """
    if name not in ("light", "dark"):
        raise FigureError(f"theme={name!r}; choose 'light' or 'dark'")
    return LIGHT if name == "light" else DARK


def safe(text: object) -> str:
    """Returns text that plotly shows as it is: no markup, no templates, no formulas."""
    escaped = html.escape(str(text), quote=True)
    # "%{" starts a template and "$...$" a formula; plotly turns entities into characters after it has looked for both.
    return escaped.replace("%", "&#37;").replace("$", "&#36;").replace("\n", " ")


def dress(
    sheet: Sheet, theme: Theme, title: str, subtitle: str = "", *, height: int = 420, panel_titles: bool = False
) -> Sheet:
    """Gives a figure its looks and its title; the texts must be safe already."""
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
    # Margins that fit numbers: "automargin", which only axes of names need, makes plotly draw everything twice.
    axis: dict[str, Any] = {
        "gridcolor": theme.grid, "linecolor": theme.muted, "zeroline": False, "ticks": "outside", "ticklen": 4,
        "tickcolor": theme.muted, "title": {"standoff": 8, "font": {"size": 13}},
    }  # fmt: skip
    sheet.update_annotations(font={"size": 13.5})  # so far only the titles of panels
    sheet.update_xaxes(showline=True, showgrid=False, **axis)
    sheet.update_yaxes(showline=False, showgrid=True, **axis)
    return sheet


def note(sheet: Sheet, theme: Theme, text: str) -> Sheet:
    """Writes into the middle of a figure why it is empty, and returns it; the text must be safe already."""
    sheet.update_xaxes(visible=False)
    sheet.update_yaxes(visible=False)
    sheet.add_annotation(
        text=text, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper", font={"size": 14, "color": theme.muted}
    )
    return sheet
