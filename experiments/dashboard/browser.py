"""Measures the time until the first figure of a run is seen in a real browser."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from dashboard.long_run import make_long_run

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")
# Milliseconds to wait at most. A busy machine needs much time.
PATIENCE = 120_000
DRAWN = "() => document.querySelector('.gl-figure')?.dataset.drawn && document.querySelector('h3').innerText"


def first_figure_in_browser(folder: Path, name: str) -> dict[str, Any]:
    """Returns the elapsed seconds from following a link to the first figure. The server has not read the run before.

    The browser and the server have shown another run before, so that all programs are loaded. ``first_visit`` is its time.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {"seconds": None, "why": "playwright is not installed"}
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        return {"seconds": None, "why": "no Chromium"}
    shown = folder.parent / "shown"
    make_long_run(shown / "short", 100, 1, 0)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gradlens", "dashboard", str(shown), "--no-browser", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait(f"http://127.0.0.1:{port}/_stcore/health")
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=program, args=list(ARGUMENTS))
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(PATIENCE)
            page.set_default_navigation_timeout(PATIENCE)

            def follow(run: str) -> float:
                begun = time.perf_counter()
                page.goto(f"http://127.0.0.1:{port}/run?run={run}", wait_until="commit")
                page.wait_for_function(DRAWN)
                return time.perf_counter() - begun

            first_visit = follow("short")
            (folder / name).rename(shown / name)
            seconds = follow(name)
            browser.close()
    finally:
        server.terminate()
        server.wait()
    return {"seconds": seconds, "first_visit": first_visit, "why": None}


def _wait(address: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(address, timeout=2).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(f"nothing answers at {address}")
