"""The pages of the dashboard, in the order of the menu."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ListedPage:
    """A page of the dashboard.

    Attributes:
        file: Name of its file in ``pages``, without the ending.
        title: Its title.
        icon: Name of its Material icon.
        path: Its path in the address; "" for the page that opens first.
    """

    file: str
    title: str
    icon: str
    path: str


# In the menu only where there are runs of the lab; its address always opens it.
PAPER = "paper"
PAGES = (
    ListedPage("runs", "Runs", "list", ""),
    ListedPage("run", "Run", "show_chart", "run"),
    ListedPage("compare", "Compare", "compare_arrows", "compare"),
    ListedPage("classes", "Classes", "apps", "classes"),
    ListedPage("methods", "Methods", "table", "methods"),
    ListedPage("glossary", "Glossary", "menu_book", "glossary"),
    ListedPage("paper", "Paper", "article", PAPER),
)
