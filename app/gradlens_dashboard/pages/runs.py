"""The page "Runs": a table of all runs of the folder, live runs first."""

import math
import zlib

import pandas as pd
import streamlit as st

from gradlens.analysis.facts import incomplete_texts, nonfinite_text
from gradlens.analysis.headline import groups_differ
from gradlens.analysis.row import NOT_RANKED
from gradlens.analysis.without_interval import headline_without_interval
from gradlens.reports.text import low_high
from gradlens_dashboard.components.address import asked, keep
from gradlens_dashboard.components.choices import ask_text
from gradlens_dashboard.components.live import follow
from gradlens_dashboard.components.page import empty, heading, plain
from gradlens_dashboard.components.store import Shelf, overview_of, shelf, showable
from gradlens_dashboard.components.summary import say_apart
from gradlens_dashboard.components.tables import plain_table

STATES = {"running": "● live"}
# This sign stands before the status of a run that is damaged or not complete.
DAMAGED = "⚠"
# This sign stands before the status of a run whose distortion says little, as in ``gradlens ls``.
FEW_STEPS = "~"


def table(found: Shelf, search: str) -> pd.DataFrame:
    """Returns a row for each run that matches the search: its name, method, data set and status hold every word."""
    rows = []
    for name, run in found.runs.items():
        seen = overview_of(run)
        state = STATES.get(seen.state, seen.state)
        if incomplete_texts(run):
            state = f"{DAMAGED} {state}"
        if seen.headline.few:
            state = f"{FEW_STEPS} {state}"
        if all(word in f"{name} {seen.method} {seen.dataset} {state}".lower() for word in search.lower().split()):
            started = pd.to_datetime(seen.started, unit="s") if math.isfinite(seen.started) else None
            rows.append(
                {
                    "run": name,
                    "status": state,
                    "groups": seen.headline.groups,
                    "distortion": seen.headline.distortion.value,
                    "interval": low_high(seen.headline.distortion),
                    "last phase": seen.headline.last_phase.value,
                    "its interval": low_high(seen.headline.last_phase),
                    "course": list(seen.sparks),
                    "accuracy": seen.accuracy,
                    "method": seen.method,
                    "data set": seen.dataset,
                    "steps": seen.steps,
                    "measured": seen.measured,
                    "started": started,
                }
            )
    return pd.DataFrame(rows)


def selection(names: list[str]) -> tuple[str, list[int]]:
    """Returns the key of the table with these rows, and the rows that are selected at first.

    Streamlit's table remembers row numbers. A new run or a search shifts them. The key then changes, so Streamlit makes a new
    table, which begins with the same runs selected.
    """
    if "pick" not in st.session_state:
        st.session_state["pick"] = asked("pick")
    key = f"picked-{zlib.crc32(chr(0).join(names).encode())}"
    if st.session_state.get("table", ("",))[0] != key:
        rows = [row for row, name in enumerate(names) if name in st.session_state["pick"]]
        st.session_state["table"] = (key, rows)
    return st.session_state["table"]


def select(names: list[str], chosen: list[str]) -> None:
    """Keeps the selected runs, also those that the search hides, and writes them into the address.

    Args:
        names: Names of the runs in the table.
        chosen: Names of the selected runs in the table.
    """
    hidden = [name for name in st.session_state["pick"] if name not in names]
    st.session_state["pick"] = [*chosen, *hidden]
    keep("pick", st.session_state["pick"])


COLUMNS = {
    "run": st.column_config.TextColumn("Run", pinned=True, width=125),
    "status": st.column_config.TextColumn(
        "Status",
        width=80,
        help=f"{DAMAGED}: damaged or not complete; see below the table what is missing. "
        f"{FEW_STEPS}: so few measured steps that its distortion says little",
    ),
    "method": st.column_config.TextColumn("Method", width=80),
    "data set": st.column_config.TextColumn("Data set", width=85),
    "groups": st.column_config.TextColumn("Groups", width=74, help="Number of classes in brackets"),
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


def course(shown: pd.DataFrame) -> dict[str, object]:
    """Returns the settings of the column of small curves. All curves have the same scale, so that they can be compared."""
    highest = max((value for curve in shown["course"] for value in curve if math.isfinite(value)), default=0.0)
    place = 10.0 ** math.floor(math.log10(highest)) if highest > 0 else 1.0
    top = float(f"{max(math.ceil(highest / place), 1) * place:.0e}")  # one digit, so it seldom changes
    words = f"Distortion, beginning to end; the curves of all runs shown have one scale, from 0 to {top:g}"
    column = st.column_config.LineChartColumn("Over the run", y_min=0, y_max=top, width=75, help=words)
    return {"course": column}


OPTIONAL = ("method", "data set", "interval", "last phase", "its interval", "accuracy", "started")

heading(
    "Runs",
    "Every training that gradlens has measured in this folder. Distortion says how far the groups' shares of the update are "
    "from their shares of the classes (0 = equal). The small curve shows the distortion over the run.",
)
found = showable(shelf())
if not found.runs:
    empty(found, 1)
else:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        search = ask_text(
            "Search", "search", placeholder="name, method, data set or status", width=320, icon=":material/search:"
        )
        follow(found.runs.values(), listing=True)
    shown = table(found, search)
    if shown.empty:
        st.info(f"No run matches {plain(search)}.", icon=":material/search_off:")
    else:
        if groups_differ([found.runs[str(name)] for name in shown["run"]]):
            st.caption(NOT_RANKED[0].upper() + NOT_RANKED[1:] + ".")
        unused = [c for c in OPTIONAL if shown[c].isna().all() or (shown[c] == "").all()]
        names = [str(name) for name in shown["run"]]
        key, rows = selection(names)
        picked = st.dataframe(
            shown.drop(columns=unused), column_config=COLUMNS | course(shown), hide_index=True, on_select="rerun", key=key,
            selection_default={"selection": {"rows": rows}}, selection_mode="multi-row", placeholder="–",
            alt=f"Table of {len(shown)} runs with status, distortion and accuracy",
        )  # fmt: skip
        chosen = [names[row] for row in picked["selection"]["rows"] if row < len(names)]
        select(names, chosen)
        with st.container(horizontal=True, vertical_alignment="center"):
            first = chosen[0] if chosen else str(shown["run"].iloc[0])
            if st.button(f"Open {plain(first)}", type="primary", icon=":material/show_chart:"):
                st.switch_page("pages/run.py", query_params={"run": first})
            if st.button("Compare the selected", disabled=len(chosen) < 2, icon=":material/compare_arrows:"):
                st.switch_page("pages/compare.py", query_params={"runs": chosen})
            if st.button("Figure 1 of two", disabled=len(chosen) != 2, icon=":material/grid_view:"):
                st.switch_page("pages/figure1.py", query_params={"lt": chosen[0], "balanced": chosen[1]})
            if not chosen:
                st.caption("Select rows at their left edge to compare runs.")
        say_apart([found.runs[name] for name in chosen or [first]])
    # The table has no room for whole sentences.
    runs = [] if shown.empty else [(name, found.runs[name]) for name in shown["run"]]
    damaged = [(name, text) for name, run in runs for text in incomplete_texts(run)]
    if damaged:
        st.header("Damaged or not complete", anchor=False)
        plain_table(("run", "what is missing or was changed"), damaged)
    early = [(name, overview_of(run)) for name, run in runs]
    reasons = [(name, seen.state, seen.reason) for name, seen in early if seen.reason]
    if reasons:
        st.header("Ended early", anchor=False)
        plain_table(("run", "status", "why"), reasons)
    broken = [(name, text) for name, run in runs if (text := nonfinite_text(run))]
    if broken:
        st.header("Not finite", anchor=False)
        plain_table(("run", "steps without a gradient"), broken)
    whys = [(name, why) for name, seen in early if (why := headline_without_interval(seen.headline))]
    if whys:
        st.header("Without an interval", anchor=False)
        plain_table(("run", "why"), [(name, why.removeprefix("Without an interval: ")) for name, why in whys])
if found.broken:
    st.header("Cannot be read", anchor=False)
    plain_table(("folder", "why"), found.broken.items())
if not found.runs:
    follow((), listing=True)
