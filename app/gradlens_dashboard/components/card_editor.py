"""Edits what people write about runs: title, tags and note, and whether lists show them. Each change can be taken back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import streamlit as st

from gradlens.runlog import RunError
from gradlens.runlog.format.card import MOST_NOTE, MOST_TITLE, Card, write_card
from gradlens_dashboard.components.page import plain
from gradlens_dashboard.components.shelf import Shelf
from gradlens_dashboard.components.store import look_again

# In the session: what the last change did, and name -> card before it.
LAST = "card:last"
MOVES = {"": "Put back into the list", "archived": "Archive", "deleted": "Delete"}
ICONS = {"": ":material/unarchive:", "archived": ":material/archive:", "deleted": ":material/delete:"}
DONE = {"": "back in the list", "archived": "archived", "deleted": "deleted from the lists"}


def edit_cards(found: Shelf, names: Sequence[str]) -> None:
    """Shows the editor of the cards of some runs. With several runs, only tags and places can be changed.

    Args:
        found: All runs.
        names: Names of the runs; without one, the editor cannot be opened.
    """
    with st.popover("Edit", icon=":material/edit:", disabled=not names):
        if names:
            _form(found, names)
            with st.container(horizontal=True):
                for place, words in MOVES.items():
                    if any(found.cards[name].place != place for name in names):
                        st.button(
                            words,
                            key=f"card:{place or 'list'}",
                            icon=ICONS[place],
                            on_click=_move,
                            args=(found, names, place),
                        )
            st.caption(
                "Archived and deleted runs are found under “Show”. Nothing is removed from the disk: all this stands in "
                "gradlens-card.json beside each run."
            )


def say_last_change(found: Shelf) -> None:
    """Says what the last change did, and offers to take it back."""
    last = st.session_state.get(LAST)
    if last is None:
        return
    words, before = last
    with st.container(horizontal=True, vertical_alignment="center"):
        if before is None:
            st.error(words, icon=":material/error:")
        else:
            st.caption(words)
            st.button("Undo", icon=":material/undo:", on_click=_undo, args=(found, before))


def _form(found: Shelf, names: Sequence[str]) -> None:
    """Asks for title, tags and note."""
    only = names[0] if len(names) == 1 else None
    card = found.cards[only] if only is not None else Card()
    key = "card:" + "|".join(names)
    with st.form(key, border=False):
        title = note = ""
        if only is not None:
            title = st.text_input("Title", card.title, placeholder=only, max_chars=MOST_TITLE, key=f"{key}:title")
            note = st.text_area("Note", card.note, max_chars=MOST_NOTE, key=f"{key}:note")
        label = "Tags, with commas between them" if only is not None else f"Add tags to {len(names)} runs"
        tags = st.text_input(label, ", ".join(card.tags), key=f"{key}:tags")
        if st.form_submit_button("Save", type="primary"):
            words = tuple(tag.strip() for tag in tags.split(",") if tag.strip())
            if only is not None:
                _change(found, names, lambda old: replace(old, title=title, tags=words, note=note), "changed")
            else:
                _change(found, names, lambda old: replace(old, tags=(*old.tags, *words)), "tagged")
            st.rerun()


def _move(found: Shelf, names: Sequence[str], place: str) -> None:
    _change(found, names, lambda card: replace(card, place=place), DONE[place])


def _change(found: Shelf, names: Sequence[str], new: Callable[[Card], Card], done: str) -> None:
    """Writes new cards, and notes the earlier ones. If one cannot be written, those before it have changed, and it is said."""
    before: dict[str, Card] = {}
    problem = ""
    for name in names:
        try:
            write_card(found.runs.path(name), new(found.cards[name]))
        except RunError as error:
            problem = f"{plain(found.title(name))}: {plain(error)}"
            break
        before[name] = found.cards[name]
    which = plain(found.title(names[0])) if len(names) == 1 else f"{len(before)} runs"
    st.session_state[LAST] = (problem, None) if problem else (f"{which}: {done}.", before)
    look_again()


def _undo(found: Shelf, before: dict[str, Card]) -> None:
    try:
        for name, card in before.items():
            write_card(found.runs.path(name), replace(card, problem=""))
    except (RunError, KeyError) as error:
        st.session_state[LAST] = (f"It cannot be taken back: {plain(error)}", None)
    else:
        st.session_state[LAST] = None
    look_again()
