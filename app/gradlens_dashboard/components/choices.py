"""Controls of the pages. Their choices are written into the address of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from gradlens.analysis.default_pair import MOST_RUNS
from gradlens.analysis.likeness import unlike
from gradlens.analysis.two_runs import groups_in_common
from gradlens.figures import units
from gradlens.runlog import Run
from gradlens_dashboard.components.address import asked, keep, preset, remember
from gradlens_dashboard.components.page import plain
from gradlens_dashboard.components.shelf import Shelf

AXES = {"step": "Step", "epoch": "Epoch", "time": "Time", "fraction": "Part of training"}
SCALES = {"linear": "Linear", "log": "Logarithmic"}
NORMS = {"contribution": "Contribution", "mean": "Mean gradient"}
# In the address this stands for the latest of several measurements, also when newer ones come.
LATEST = "latest"
SMOOTHING = {"auto": "Automatic", "1": "None", "5": "5 steps", "20": "20 steps", "100": "100 steps", "500": "500 steps"}


def choose(
    control: Callable[..., Any],
    label: str,
    options: Sequence[str] | Mapping[str, str],
    default: str,
    key: str,
    **more: Any,
) -> str:
    """Lets the viewer choose one of several options and returns it. The address only holds choices other than the default.

    Args:
        control: ``st.selectbox`` or ``st.segmented_control``.
        label: Label of the control.
        options: The options; a mapping also gives the words that are shown for them.
        default: The first choice.
        key: Key of the control, and its name in the address.
        **more: Further arguments of the control.
    """
    preset(key, options, default)
    words = options if isinstance(options, Mapping) else {}
    if control is st.segmented_control:
        more["required"] = True
    chosen = control(label, list(options), key=key, format_func=lambda option: words.get(option, option), **more)
    keep(key, [chosen] if chosen != default else [])
    return str(chosen)


def choose_run(
    shelf: Shelf, label: str, key: str, default: str | None = None, names: Sequence[str] | None = None
) -> str:
    """Lets the viewer choose a run and returns its name. Warns if the address names a run that cannot be shown.

    Args:
        shelf: The runs.
        label: Label of the control.
        key: Key of the control, and its name in the address.
        default: Chosen if the address names no run. None = the first run with measured steps.
        names: Names of the runs to choose from; None = all.
    """
    known = st.session_state.get(key)
    options = _offered(shelf, [known] if known else asked(key)[:1], names)
    if known not in options:
        _missing(key, [name for name in ([known] if known else asked(key)[:1]) if name not in options])
    first = next((name for name in shelf.worth_showing if name in options), options[0])
    preset(key, options, default if default in options else first)
    for name in st.session_state.get(f"{key}:missing", ()):
        other = (
            "this page shows another kind of runs"
            if name in shelf.runs
            else "it is not in this folder, or not any more"
        )
        why = shelf.broken.get(name, other)
        st.warning(f"The run {plain(name)} cannot be shown: {plain(why)}.", icon=":material/warning:")
    chosen = str(
        st.selectbox(label, options, key=key, width=300, format_func=shelf.title, on_change=_missing, args=(key, ()))
    )
    # The default changes when new runs come. So it is written into the address too, and a link shows the same run tomorrow.
    keep(key, [chosen])
    return chosen


def _offered(shelf: Shelf, wanted: Sequence[str], names: Sequence[str] | None = None) -> list[str]:
    """Returns the names of the runs to choose from. Archived and deleted ones are among them if they are wanted."""
    listed = set(shelf.listed)
    among = list(shelf.runs if names is None else names)
    return [name for name in among if name in listed or name in wanted] or among


def _missing(key: str, names: Sequence[str]) -> None:
    """Notes the names of runs that were asked for but cannot be shown. The next choice clears the note."""
    st.session_state[f"{key}:missing"] = list(names)


def wanted_runs(shelf: Shelf, key: str, most: int) -> list[str]:
    """Returns the names of the runs that the viewer or the address wants, and notes those that are missing.

    Args:
        shelf: The runs.
        key: Key of the selection, and its name in the address.
        most: The most runs if none is wanted. These are runs with measured steps and of the same kind as the first of them; if
            no other run is, runs that have a group in common with it.
    """
    known = st.session_state.get(key)
    wanted = asked(key) if known is None else list(known)
    there = [name for name in wanted if name in shelf.runs]
    if known is None or there != wanted:
        _missing(key, [name for name in wanted if name not in shelf.runs])
        remember(key, there or _alike(shelf)[:most])
    return list(st.session_state[key])


def say_missing(key: str) -> None:
    """Warns of runs that were asked for but are not there, until ``forget_missing``."""
    gone = st.session_state.get(f"{key}:missing")
    if gone:
        names = ", ".join(map(plain, gone))
        st.warning(f"Not in this folder, or not any more: {names}.", icon=":material/warning:")


def forget_missing(key: str) -> None:
    """Forgets the runs that were asked for but are not there, since the viewer has chosen others."""
    _missing(key, ())


def _alike(shelf: Shelf) -> list[str]:
    """Returns the names of runs of one kind or, if there is only one, of runs with a group in common."""
    worth = shelf.worth_showing[:MOST_RUNS]
    first = shelf.runs[worth[0]]
    common = [name for name in worth if groups_in_common([first, shelf.runs[name]])]
    alike = [name for name in common if not unlike(first, shelf.runs[name])]
    return alike if len(alike) > 1 else common


def choose_axis(runs: Sequence[Run], *, fraction: bool = False) -> str:
    """Lets the viewer choose the unit of the horizontal axis and returns it.

    Args:
        runs: The runs that are drawn.
        fraction: True if "part of training" is an option. It is not while one of the runs still trains; the help says so.
    """
    shared = {
        unit: words
        for unit, words in AXES.items()
        if all(unit in units(run) for run in runs) and (fraction or unit != "fraction")
    }
    training = ", ".join(plain(run.name) for run in runs if run.status.live) if fraction else ""
    why = f"Part of training is not possible yet: it is not known how long {training} will train." if training else None
    return choose(st.segmented_control, "Horizontal axis", shared, next(iter(shared)), "x", help=why)


def choose_smoothing() -> int | None:
    """Lets the viewer choose the running mean and returns its measured steps; None = the default of the figures."""
    chosen = choose(
        st.selectbox, "Running mean over", SMOOTHING, "auto", "smooth", width=190,
        help="Measured steps in the mean of the strong line; the faint line shows single steps. "
        "Bars and cells are means of at least as many.",
    )  # fmt: skip
    return None if chosen == "auto" else int(chosen)


def choose_norm() -> str:
    """Lets the viewer choose which norm of a group is drawn and returns "contribution" or "mean"."""
    return choose(
        st.segmented_control, "Norm of a group's", NORMS, "contribution", "norm",
        help="Contribution: what the group's samples add to the batch gradient. Mean gradient: the average over its own samples.",
    )  # fmt: skip


def choose_scale() -> bool:
    """Lets the viewer choose the scale of norms and returns True for logarithmic."""
    return choose(st.segmented_control, "Scale of norms", SCALES, "linear", "scale") == "log"


def choose_step(label: str, steps: Sequence[int], key: str, **more: Any) -> int:
    """Lets the viewer choose one of several measurements and returns its index. The default is the latest one.

    With the default, or if the viewer picks the latest one, the page moves on to newer measurements as they come, and the address
    says "latest". Any other choice stays, and the address says its step.

    Args:
        label: Label of the slider.
        steps: [n] step of each measurement, ascending.
        key: Key of the control, and its name in the address. There "120.2" means the second measurement at step 120.
        **more: Further arguments of the slider.
    """
    nth = [steps[: place + 1].count(step) for place, step in enumerate(steps)]
    names = [f"{step}.{n}" if n > 1 else f"{step}" for step, n in zip(steps, nth, strict=True)]
    # The words of a measurement stay the same when more come. A move that the viewer makes meanwhile is then still understood.
    words = [f"step {step:,} ({n})" if n > 1 else f"step {step:,}" for step, n in zip(steps, nth, strict=True)]
    said = {**dict(zip(names[:-1], words[:-1], strict=True)), LATEST: "latest"}
    known = st.session_state.get(f"{key}:picked", "".join(asked(key)[:1]))
    # When two stretches of a growing run become one, the picked one is replaced by the stretch that now holds it.
    step = known.partition(".")[0]
    near = next((name for name, s in zip(names, steps, strict=True) if step.isdecimal() and s >= int(step)), LATEST)
    picked = known if known in names else near
    remember(f"{key}:picked", picked)
    # This is set in every run of the page. Otherwise Streamlit shows the first option after the options have grown.
    st.session_state[key] = picked if picked in said else LATEST

    def pick() -> None:
        st.session_state[f"{key}:picked"] = st.session_state[key]

    st.select_slider(label, list(said), key=key, format_func=said.__getitem__, on_change=pick, **more)
    keep(key, [picked])
    return names.index(picked) if picked in names else len(names) - 1


def choose_whether(label: str, key: str, **more: Any) -> bool:
    """Lets the viewer switch something off and returns True while it is on."""
    if key not in st.session_state:
        st.session_state[key] = asked(key) != ["off"]
    on = bool(st.toggle(label, key=key, **more))
    keep(key, [] if on else ["off"])
    return on


def ask_text(label: str, key: str, **more: Any) -> str:
    """Lets the viewer write a text and returns it."""
    if key not in st.session_state:
        st.session_state[key] = "".join(asked(key)[:1])
    text = str(st.text_input(label, key=key, **more))
    keep(key, [text] if text else [])
    return text
