"""The page "Runs": a table of all runs of the folder, live runs first."""

import math
from collections.abc import Sequence

import streamlit as st

from gradlens.analysis.row import NOT_RANKED
from gradlens.analysis.run_query import QueryError, settings_of, value_of
from gradlens_dashboard.components.address import asked, keep
from gradlens_dashboard.components.card_editor import edit_cards, say_last_change
from gradlens_dashboard.components.choices import ask_text, choose
from gradlens_dashboard.components.live import LIST_SECONDS, follow_list
from gradlens_dashboard.components.page import empty, heading, plain
from gradlens_dashboard.components.row_selection import select, selection
from gradlens_dashboard.components.run_table import DAMAGED, FEW_STEPS, MORE, listed_runs, run_table, sentences
from gradlens_dashboard.components.shelf import Shelf
from gradlens_dashboard.components.store import shelf
from gradlens_dashboard.components.summary import say_apart

COLUMNS = {
    "status": st.column_config.TextColumn(
        "Status",
        width=80,
        help=f"{DAMAGED}: damaged or not complete; see below the table what is missing. "
        f"{FEW_STEPS}: so few measured steps that its distortion says little",
    ),
    "method": st.column_config.TextColumn("Method", width=80),
    "data set": st.column_config.TextColumn("Data set", width=85),
    "groups": st.column_config.TextColumn(
        "Groups", width=74, help="Number of classes, or of values of an attribute, in brackets"
    ),
    "distortion": st.column_config.NumberColumn("Distortion", format="%.3f", width=80, help="0 = none; whole run"),
    "interval": st.column_config.TextColumn(
        "95% interval", width=100, help="Of the distortion; if there is none, the reason is below the table"
    ),
    "last phase": st.column_config.NumberColumn(
        "Last phase", format="%.3f", width=80, help="Distortion of the last phase"
    ),
    "its interval": st.column_config.TextColumn(
        "Its 95% interval", width=100, help="Of the distortion of the last phase"
    ),
    "accuracy": st.column_config.NumberColumn(
        "Accuracy", format="%.1f%%", width=75, help="Last evaluation, overall, in percent"
    ),
    "steps": st.column_config.NumberColumn("Steps", format="localized", width=62, help="Optimizer steps"),
    "measured": st.column_config.NumberColumn("Measured", format="localized", width=78, help="Measured steps"),
    "started": st.column_config.DatetimeColumn("Started", format="distance", width=80),
}
# Words for the fields of ``gradlens.analysis.run_query`` by which the table can be sorted.
SORTED = {
    "": "Live, then latest", "title": "Name", "status": "Status", "method": "Method", "data": "Data set", "groups": "Groups",
    "distortion": "Distortion", "last-phase": "Distortion of the last phase", "accuracy": "Accuracy", "steps": "Steps",
    "measured": "Measured steps", "started": "Start", "seed": "Seed", "engine": "Engine",
}  # fmt: skip
PLACES = {"": "Listed", "archived": "Archived", "deleted": "Deleted"}
# So many hyper-parameters that differ between the runs are shown at first.
FEW_SETTINGS = 3
# Fields that may have a column besides hyper-parameters; those that people have written are shown where there are any.
FIELDS_MORE = ("tag", "note", "seed", "engine", "cadence")
WRITTEN = ("tag", "note")
WIDTHS = {"note": 180, "seed": 55, "tag": 100}
# Only hyper-parameters that more than this part of the runs have are among them.
MOST_HAVE = 0.5


def names_column(names: Sequence[str]) -> dict[str, object]:
    """Returns the settings of the column of names: a click on a name opens the run."""

    def open_run() -> None:
        click = st.session_state.get("opened")
        if click is not None and click["row"] < len(names):
            st.session_state["open"] = names[click["row"]]

    words = "Click on a name to open the run"
    column = st.column_config.ButtonColumn(
        "Run", pinned=True, type="tertiary", alignment="left", key="opened", on_click=open_run, help=words
    )
    return {"run": column}


def choose_columns(found: Shelf) -> tuple[str, ...]:
    """Lets the viewer choose further columns. At first these are tags, notes, and some settings that differ between the runs."""
    runs = listed_runs(found)
    known = [*FIELDS_MORE, *settings_of(runs)]
    if "columns" not in st.session_state:
        wanted = [name for name in asked("columns") if name in known]
        have = {name: [value for run in runs if (value := value_of(run, name)) != ""] for name in known}
        written = [name for name in WRITTEN if have[name]]
        often = [
            name for name in settings_of(runs) if len(have[name]) > MOST_HAVE * len(runs) and len(set(have[name])) > 1
        ]
        st.session_state["columns"] = wanted or [*written, *often[:FEW_SETTINGS]]
    st.session_state["columns"] = [name for name in st.session_state["columns"] if name in known]
    chosen = st.multiselect("More columns", known, key="columns", placeholder="None", width=320)
    keep("columns", chosen)
    return tuple(chosen)


def course(highest: float) -> dict[str, object]:
    """Returns the settings of the column of small curves. All curves have the same scale, so that they can be compared."""
    place = 10.0 ** math.floor(math.log10(highest)) if highest > 0 else 1.0
    top = float(f"{max(math.ceil(highest / place), 1) * place:.0e}")  # one digit, so it seldom changes
    words = f"Distortion, beginning to end; the curves of all runs shown have one scale, from 0 to {top:g}"
    column = st.column_config.LineChartColumn("Over the run", y_min=0, y_max=top, width=75, help=words)
    return {"course": column}


heading(
    "Runs",
    "Every training that gradlens has measured in this folder. Distortion says how far the groups' shares of the update are "
    "from their shares of the classes (0 = equal). The small curve shows the distortion over the run.",
)
found = shelf(LIST_SECONDS)
if found.waiting:
    st.caption(f"{len(found.rows):,} of {len(found.rows) + found.waiting:,} runs are read; the others follow.")
if not found.rows:
    empty(found, 1)
else:
    if opened := st.session_state.pop("open", None):
        st.switch_page("pages/run.py", query_params={"run": opened})
    with st.container(horizontal=True, vertical_alignment="bottom"):
        search = ask_text(
            "Search", "search", placeholder="words, or accuracy>50 method=ce", width=320, icon=":material/search:",
            help="Words that the name, title, tags, method, data set or status hold, and conditions such as accuracy>50, "
            "seed=0, lr<=0.1, tag=paper. All must hold.",
        )  # fmt: skip
        by = choose(
            st.selectbox, "Sort by", SORTED | {n: n for n in settings_of(listed_runs(found))}, "", "sort", width=220
        )
        down = by and choose(st.segmented_control, "Order", {"up": "Up", "down": "Down"}, "up", "order") == "down"
        more = choose_columns(found)
        place = choose(st.segmented_control, "Show", PLACES, "", "show")
        follow_list(found)
    say_last_change(found)
    try:
        shown = run_table(found, search, f"-{by}" if down else by, place, more)
    except QueryError as error:
        st.warning(plain(f"{error}"[:1].upper() + f"{error}"[1:]), icon=":material/search_off:")
        st.stop()
    if not shown.names:
        st.info(f"No run matches {plain(search)}." if search else "No run here.", icon=":material/search_off:")
    else:
        if shown.groups_differ:
            st.caption(NOT_RANKED[0].upper() + NOT_RANKED[1:] + ".")
        names = shown.names
        key, rows = selection(names, "pick")
        columns = {f"{MORE}{name}": st.column_config.TextColumn(name, width=WIDTHS.get(name, 80)) for name in more}
        picked = st.dataframe(
            shown.frame, column_config=COLUMNS | names_column(names) | course(shown.highest) | columns, hide_index=True,
            on_select="rerun", key=key, selection_default={"selection": {"rows": rows}}, selection_mode="multi-row",
            placeholder="–", alt=f"Table of {len(names)} runs with status, distortion and accuracy",
        )  # fmt: skip
        chosen = [names[row] for row in picked["selection"]["rows"] if row < len(names)]
        select(names, chosen, "pick")
        with st.container(horizontal=True, vertical_alignment="center"):
            first = chosen[0] if chosen else names[0]
            if st.button(f"Open {plain(found.title(first))}", type="primary", icon=":material/show_chart:"):
                st.switch_page("pages/run.py", query_params={"run": first})
            if st.button("Compare the selected", disabled=len(chosen) < 2, icon=":material/compare_arrows:"):
                st.switch_page("pages/compare.py", query_params={"runs": chosen})
            if st.button("Figure 1 of two", disabled=len(chosen) != 2, icon=":material/grid_view:"):
                st.switch_page("pages/paper.py", query_params={"lt": chosen[0], "balanced": chosen[1]})
            edit_cards(found, chosen)
            if not chosen:
                st.caption("Select rows at their left edge to compare or edit runs.")
        say_apart([found.runs[name] for name in chosen or [first]])
    # The table has no room for whole sentences.
    sentences("Damaged or not complete", ("run", "what is missing or was changed"), shown.damaged)
    sentences("Ended early", ("run", "status", "why"), shown.ended)
    sentences("Not finite", ("run", "steps without a gradient"), shown.nonfinite)
    sentences("Without an interval", ("run", "why"), shown.without_interval)
sentences("Cannot be read", ("folder", "why"), list(found.broken.items()))
if not found.rows:
    follow_list(found)
