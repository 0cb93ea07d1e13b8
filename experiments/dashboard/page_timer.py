"""Runs a page of the dashboard with Streamlit's test driver. Notes when its figures are ready and how large they are."""

from __future__ import annotations

import base64
import gc
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from streamlit.testing.v1 import AppTest

from gradlens_dashboard.components import chart
from gradlens_dashboard.server import APP, FOLDER_VARIABLE


@dataclass
class Opened:
    """One run of a page.

    Attributes:
        first: Seconds until the first figure was ready.
        whole: Seconds until the page was ready.
        figures: Key -> JSON of each figure.
    """

    first: dict[str, float] = field(default_factory=dict)
    whole: dict[str, float] = field(default_factory=dict)
    figures: dict[str, str] = field(default_factory=dict)

    @property
    def bytes(self) -> dict[str, int]:
        """Key -> bytes of each figure."""
        return {key: len(text) for key, text in self.figures.items()}

    def most_points(self) -> int:
        """Returns the number of points of the longest trace in all figures."""
        traces = [trace for text in self.figures.values() for trace in json.loads(text)["data"]]
        return max((_length(trace.get("x")) for trace in traces), default=0)


class PageTimer:
    """Times a page of the dashboard for a folder of runs. Its imports are loaded before anything is timed."""

    def __init__(self, page: str, folder: Path) -> None:
        self._page, self._folder = APP / "pages" / f"{page}.py", folder
        self._driver: AppTest | None = None
        self._now = Opened()
        self._begun = (0.0, 0.0)
        component = chart._component
        chart._component = lambda: self._noting(component())  # type: ignore[assignment]
        os.environ[FOLDER_VARIABLE] = str(folder.parent)  # holds the same runs, but under other names
        self.open()
        os.environ[FOLDER_VARIABLE] = str(folder)

    def open(self, **query: str) -> Opened:
        """Opens the page in a new tab."""
        self._driver = AppTest.from_file(str(self._page), default_timeout=600)
        for key, value in query.items():
            self._driver.query_params[key] = value
        return self.again()

    def open_anew(self, **query: str) -> Opened:
        """Opens the page in a new tab of a server that has not read any run yet."""
        st.cache_resource.clear()
        return self.open(**query)

    def again(self) -> Opened:
        """Runs the page of the open tab once more."""
        assert self._driver is not None
        self._now, self._begun = Opened(), (time.process_time(), time.perf_counter())
        self._driver.run()
        assert not self._driver.exception, self._driver.exception
        self._now.whole = self._passed()
        return self._now

    def look(self) -> None:
        """Looks at the folder of runs. Every live tick begins with this."""
        from gradlens_dashboard.components import store

        store._shelves(str(self._folder)).look(now=True)

    def clock(self, work: Callable[[], object]) -> dict[str, float]:
        """Returns the seconds that some work takes: CPU time ("seconds") and time on the clock ("elapsed")."""
        self._begun = (time.process_time(), time.perf_counter())
        work()
        return self._passed()

    @staticmethod
    def wait(seconds: float) -> None:
        """Waits for some seconds."""
        time.sleep(seconds)

    def _passed(self) -> dict[str, float]:
        return {"seconds": time.process_time() - self._begun[0], "elapsed": time.perf_counter() - self._begun[1]}

    def _noting(self, component: Any) -> Callable[..., Any]:
        def noted(*, key: str, data: dict[str, Any], **more: Any) -> Any:
            done = component(key=key, data=data, **more)
            self._now.first = self._now.first or self._passed()
            self._now.figures[key] = data["figure"]
            return done

        return noted


def own_bytes() -> int:
    """Returns the bytes of memory of this process, without mapped files, after garbage was collected (Linux only)."""
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def _length(values: Any) -> int:
    if isinstance(values, dict):
        return len(base64.b64decode(values["bdata"])) // np.dtype(values["dtype"]).itemsize
    return len(values or ())
