"""How objects show themselves in notebooks; what draws them is loaded only where a notebook asks."""

from __future__ import annotations

from importlib import import_module
from typing import cast


class ShownInNotebooks:
    """Gives a class the page that notebooks show: a summary, and one figure where plotly is installed."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        """Returns the page as HTML."""
        # By its name: the room of reports stands above all that has a page.
        return cast(str, import_module("gradlens.reports.notebook").page(self))
