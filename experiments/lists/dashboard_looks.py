"""Times the dashboard's list of runs with one build of gradlens: the one on PYTHONPATH. It runs as a separate process.

    python dashboard_looks.py FOLDER WARM_UP LOOKS

Streamlit's test driver runs the page "Runs" for the folder WARM_UP, so that all imports are loaded, and then for FOLDER: the
first time, and again with nothing new. A look is what the server does every two seconds for an open page. Prints JSON with CPU
seconds.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import streamlit as st
from streamlit.testing.v1 import AppTest

try:
    from gradlens_dashboard.components import store
    from gradlens_dashboard.server import APP, FOLDER_VARIABLE
except ImportError:  # the earlier build has them elsewhere
    from app.components import store  # type: ignore[import-not-found, no-redef]
    from gradlens.dashboard import APP, FOLDER_VARIABLE  # type: ignore[import-not-found, no-redef]

# The same look would answer for this long.
FRESH_SECONDS = 1.0


def seconds(work: Callable[[], object]) -> float:
    """Returns the CPU seconds of this process that some work takes."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def opened(folder: Path) -> AppTest:
    """Returns the page for a folder, not run yet."""
    os.environ[FOLDER_VARIABLE] = str(folder)
    return AppTest.from_file(str(APP / "pages" / "runs.py"), default_timeout=1200)


def look(folder: Path) -> None:
    """Looks at the folder."""
    if hasattr(store, "_shelves"):
        store._shelves(str(folder)).look(now=True)
    else:
        store._library(str(folder)).look(now=True)


def main() -> None:
    """Times, checks that all runs are shown, and prints."""
    folder, warm_up, looks = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    opened(warm_up).run()
    st.cache_resource.clear()
    page = opened(folder)
    found = {"first page": seconds(page.run)}
    assert not page.exception, page.exception
    if len(page.dataframe[0].value) != sum(1 for _ in folder.iterdir()):
        raise SystemExit("not all runs are in the table")
    again = []
    for _ in range(looks):
        time.sleep(FRESH_SECONDS)
        again.append(seconds(page.run))
    found["page again, nothing new"] = median(again)
    found["look, nothing new"] = median(seconds(lambda: look(folder)) for _ in range(looks))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
