"""Parts that all pages share: heading, explanation, and what to do if there are no runs to show."""

from __future__ import annotations

import shlex
from pathlib import Path

import streamlit as st

from gradlens_dashboard.components.address import arrive
from gradlens_dashboard.components.shelf import Shelf
from gradlens_dashboard.components.store import shelf
from gradlens_dashboard.components.theme import follow_theme

STYLE = """
<style>
.stMainBlockContainer { padding: 4.2rem 2.2rem 4rem; max-width: 1500px; }
div:has(> [class*="st-key-gl-unseen"]), [class*="st-key-gl-unseen"] {
  position: absolute; width: 0; height: 0; overflow: hidden;
}
h1 { font-size: 1.7rem !important; padding: 0 0 0.1rem !important; }
h2 { font-size: 1.2rem !important; padding: 0.6rem 0 0 !important; }
[data-testid="stButtonGroup"] [role="radiogroup"] button { min-height: 2.5rem; }
/* Streamlit writes white on the primary colour, which in the dark theme is too light for that. */
[data-testid="stBaseButton-primary"]:not(:disabled), [data-testid="stMultiSelect"] [data-tag] {
  color: light-dark(#FFFFFF, #0E1117) !important;
}
@media (max-width: 640px) { .stMainBlockContainer { padding: 4rem 1rem 3rem; } }
@media (prefers-reduced-motion: reduce) { * { transition: none !important; animation: none !important; } }
</style>
"""


def heading(title: str, lead: str) -> None:
    """Writes the title of the page, and below it two lines that say what the page shows and how to read it.

    Args:
        title: Title, plain text.
        lead: The two lines, in Markdown. They must not hold names from runs.
    """
    arrive(title)
    st.html(STYLE)
    follow_theme()
    st.title(title, anchor=False)
    st.markdown(lead)


def runs_or_stop(fewest: int = 1) -> Shelf:
    """Returns the runs. If there are fewer than the page needs, says which command makes some and stops the page.

    Args:
        fewest: The number of runs that the page needs.
    """
    found = shelf()
    if len(found.runs) < fewest:
        empty(found, fewest)
        st.stop()
    return found


def empty(found: Shelf, fewest: int) -> None:
    """Says that there are fewer runs than the page needs, and which command makes some."""
    if found.runs:
        need = f"This page compares {fewest} runs; there is only one in"
    else:
        need = "There is no readable run in" if found.broken else "No runs yet in"
    with st.container(border=True):
        st.markdown(f"**{need}** `{plain_code(str(found.folder))}`")
        demo, track = _commands(found.folder)
        st.markdown(
            f"`{demo}` trains three runs on handwritten digits within about a minute; "
            f"`{track}` makes one of any training script. They appear here as soon as they begin."
        )


def _commands(folder: Path) -> tuple[str, str]:
    """Returns the two commands that make runs in this folder: the demo, and tracking a script."""
    if folder.resolve() == Path("runs").resolve():  # the default folder
        return "gradlens demo", "gradlens track SCRIPT"
    own = shlex.quote(str(folder / "NAME"))
    return plain_code(f"gradlens demo --out {shlex.quote(str(folder))}"), plain_code(
        f"gradlens track --out {own} SCRIPT"
    )


def plain(text: object) -> str:
    """Returns text escaped for Markdown, which shows it as it is. Names from runs may hold anything."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]()<>#+-.!|~$:&^=" else c for c in str(text).replace("\n", " "))


def plain_code(text: str) -> str:
    """Returns text that can be written between single backticks."""
    return text.replace("`", "'").replace("\n", " ")
