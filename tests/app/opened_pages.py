"""Opens a page by Streamlit's own test driver, and reads what is on it."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

from streamlit.testing.v1 import AppTest

PAGES = Path(__file__).resolve().parents[2] / "app" / "gradlens_dashboard" / "pages"


EVERY = ("runs", "run", "compare", "classes", "paper")


def opened(monkeypatch, folder, page, **query):
    monkeypatch.setenv("GRADLENS_RUNS", str(folder))
    monkeypatch.setattr("gradlens.runlog.reading.library.FRESH_SECONDS", 0.0)  # a test looks more often than a viewer
    at = AppTest.from_file(str(PAGES / f"{page}.py"), default_timeout=60)
    for key, value in query.items():
        at.query_params[key] = value
    at.run()
    assert not at.exception, at.exception
    return at


def charts(at):
    """Returns the figures on the page by key."""
    found = {}
    for element in at.get("bidi_component"):
        data = json.loads(element.proto.json)
        if "figure" not in data:  # the component that completes the address
            continue
        found[element.proto.id.rpartition("-")[2]] = json.loads(data["figure"])
    return found


def text(at):
    """Returns everything that is written on the page."""
    words = [
        e.value for kind in ("title", "header", "markdown", "caption", "info", "warning", "error") for e in at.get(kind)
    ]
    return "\n".join([*map(str, words), *(e.proto.body for e in at.get("html"))])


def titles(at):
    return {key: figure["layout"]["title"]["text"] for key, figure in charts(at).items()}


def decoded(values):
    """Returns numbers as plotly writes them: a list, or base64 with a type."""
    import base64

    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), dtype=values["dtype"])
    return np.array([np.nan if v is None else v for v in values], dtype=float)


def look_again(at):
    """Runs the page once more, as the live refresh does, after the second within which a look counts as fresh."""
    import time

    from gradlens.runlog.reading import library

    time.sleep(library.FRESH_SECONDS)
    at.run()
    assert not at.exception, at.exception


def one_more(run, step):
    from gradlens.metrics.measurement import Measurement

    return Measurement(
        step=step, time=run.time[0] + step, epoch=None, names=run.names, gram=run.gram()[0], layers=None, counts=run.counts[0],
        loss=run.loss[0], correct=run.correct[0], residual=0.0, total_loss=1.0, seconds=0.01,
    )  # fmt: skip
