"""The command ``gradlens methods``."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from gradlens.longtail.methods import METHODS
from gradlens.longtail.table.records import record, records
from gradlens.longtail.table.text import HEADER, lines, markdown, note, row, setting_lines

NARROWEST = 160  # columns, if the output is no terminal


def print_methods(name: str | None, *, as_markdown: bool = False) -> None:
    """Prints the table of methods, or all that is known of one.

    Args:
        name: Name of a method; None = all methods.
        as_markdown: True to print the table in Markdown.

    Raises:
        LongTailError: There is no such method.
    """
    if name is not None:
        own = setting_lines(METHODS[name]) if name in METHODS else []
        print("\n".join(lines(record(name)) + own))
    elif as_markdown:
        print(markdown(records()), end="")
    else:
        console = Console()
        console = console if console.is_terminal else Console(width=NARROWEST)
        rows = records()
        table = Table(*HEADER, title="Methods of the long-tail lab", caption=note(rows))
        for found in rows:
            table.add_row(*row(found, short=True))
        console.print(table, markup=False, highlight=False)
