"""Starts the dashboard: a Streamlit server on this machine, in this process, until Ctrl-C."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import socket
import threading
import time
import urllib.request
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradlens_dashboard.freed_memory import give_back_large_arrays
from gradlens_dashboard.same_origin import LOOPBACK, SameOrigin, content_policy

if TYPE_CHECKING:
    import streamlit as st

ADDRESS = "127.0.0.1"
FIRST_PORT = 8501
PORTS_TRIED = 100
# Tells the app, which Streamlit runs as a script, which folder to show.
FOLDER_VARIABLE = "GRADLENS_RUNS"
# The pages' addresses. Streamlit's script asks first below the page's address whether the server is there, which browsers note
# as an error; told where the server is, it does not.
PAGES = ("", "figure1", "run", "dual-phase", "compare", "classes")
SERVER_IS_HERE = "<script>window.__streamlit = { BACKEND_BASE_URL: window.location.origin };</script>"
# A figure that finds no script of plotly's asks for it itself. The policy of content allows no attribute `onerror`.
TRY_AGAIN_LATER = """<script>
      document.currentScript.previousElementSibling.addEventListener("error", (event) => event.target.remove())
    </script>"""
APP = Path(__file__).resolve().parent
# plotly.js is served from plotly's own package data: no network is needed.
PLOTLY_ROUTE = "/gradlens/plotly.min.js"
# What the first page needs and is slow to import; most of it is loaded while the browser still reads Streamlit's scripts.
FIRST_NEEDED = (
    "pandas",
    "plotly.graph_objects",
    "gradlens_dashboard.components.tables",
    "gradlens_dashboard.components.layers",
    "gradlens_dashboard.components.summary",
)

CONFIG: dict[str, Any] = {
    "server.address": ADDRESS,
    "server.headless": True,
    "server.fileWatcherType": "none",
    "server.showEmailPrompt": False,
    # A user's own settings of Streamlit may not open what SameOrigin closes.
    "server.enableCORS": True,
    "server.enableXsrfProtection": True,
    "server.corsAllowedOrigins": [],
    "server.allowedHosts": [name.strip("[]") for name in LOOPBACK],
    "server.enableAgentApi": False,
    "browser.gatherUsageStats": False,
    "browser.serverAddress": ADDRESS,
    "client.toolbarMode": "viewer",
    "client.showErrorDetails": "stacktrace",
    "logger.level": "warning",
    "theme.baseRadius": "6px",
    "theme.light.primaryColor": "#0072B2",
    "theme.light.backgroundColor": "#FFFFFF",
    "theme.light.secondaryBackgroundColor": "#F4F6F8",
    "theme.light.textColor": "#1A1A1A",
    "theme.dark.primaryColor": "#56B4E9",
    "theme.dark.backgroundColor": "#0E1117",
    "theme.dark.secondaryBackgroundColor": "#1A1F29",
    "theme.dark.textColor": "#F2F4F7",
}


class DashboardError(ValueError):
    """The dashboard cannot be started; the message says why and what to do."""


def start(runs_dir: str | os.PathLike[str] = "runs", port: int | None = None, open_browser: bool = True) -> None:
    """Serves the dashboard of the runs in a folder until it is interrupted.

    Args:
        runs_dir: Folder that holds the runs; it may still be empty.
        port: Port to listen on; the next free one is taken where it is in use. None = 8501.
        open_browser: Open the page.

    Raises:
        DashboardError: No such folder, streamlit or plotly is not installed, no free port, or the app is not there.
    """
    folder = Path(runs_dir)
    if not folder.is_dir():
        raise DashboardError(
            f"{folder} is no folder; give the folder that holds the runs (gradlens track SCRIPT and gradlens demo make one)"
        )
    give_back_large_arrays()
    chosen = free_port(FIRST_PORT if port is None else port)
    app = make_app(folder, chosen)
    url = f"http://{ADDRESS}:{chosen}"
    if port is not None and chosen != port:
        print(f"Port {port} is in use; taking {chosen}.")
    print(f"Dashboard of {folder}: {url}\nStop it with Ctrl-C.", flush=True)
    threading.Thread(target=_warm_up, daemon=True).start()
    if open_browser:
        threading.Thread(target=_open_when_ready, args=(url,), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        _quietly(lambda: app.run(config={**CONFIG, "server.port": chosen}))
    print("Dashboard stopped.", flush=True)


def make_app(folder: Path, port: int) -> st.App:
    """Returns the Streamlit application of a folder of runs; one a process.

    Args:
        folder: Holds the runs.
        port: Where the server listens; it answers to its own pages there and to nobody else.

    Raises:
        DashboardError: streamlit or plotly is not installed, or the app's files are not there.
    """
    if not (APP / "main.py").is_file():
        raise DashboardError(f"the dashboard's files are not in {APP}; install gradlens again: pip install -e '.[app]'")
    try:
        import plotly
        import streamlit as st
        from starlette.middleware import Middleware
        from starlette.responses import HTMLResponse, Response
        from starlette.routing import Route
        from streamlit.runtime.pages_manager import PagesManager
    except ImportError as error:
        raise DashboardError(
            f"the dashboard needs {error.name}, which is not installed; install the app extra: pip install -e '.[app]'"
        ) from error
    os.environ[FOLDER_VARIABLE] = str(folder.resolve())
    # Beside a folder `pages`, Streamlit would take every file in it for a page and not run main.py the first time.
    PagesManager.uses_pages_directory = False
    script = (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_bytes()
    # Its address changes with its version, so a browser keeps it for good, compiled. Without the second header Streamlit would
    # compress it at every request, for most of a second.
    kept = {"Cache-Control": "public, max-age=31536000, immutable", "Content-Encoding": "identity"}

    async def plotly_js(request: object) -> Response:  # noqa: ARG001
        return Response(script, media_type="text/javascript", headers=kept)

    shell = (Path(st.__file__).parent / "static" / "index.html").read_text("utf-8")
    # The browser loads and compiles plotly beside Streamlit's own scripts, before the first figure asks for it.
    early = f'<script async src="{plotly_address()}"></script>\n    {TRY_AGAIN_LATER}'
    shell = shell.replace("<script", f"{SERVER_IS_HERE}\n    {early}\n    <script", 1)

    async def page(request: object) -> HTMLResponse:  # noqa: ARG001
        return HTMLResponse(shell, headers={"Cache-Control": "no-cache"})

    pages = [Route(f"/{path}", page) for path in PAGES]
    door = Middleware(SameOrigin, port=port, policy=content_policy(shell, port))
    return st.App(APP / "main.py", routes=[Route(PLOTLY_ROUTE, plotly_js), *pages], middleware=[door])


def plotly_address() -> str:
    """Returns where the server has plotly.js: another address for another version."""
    import plotly

    return f"{PLOTLY_ROUTE}?{plotly.__version__}"


def free_port(first: int) -> int:
    """Returns the first port from ``first`` on that nobody listens on.

    Raises:
        DashboardError: None is free, or this user may not listen there.
    """
    for port in range(first, min(first + PORTS_TRIED, 65536)):
        with socket.socket() as probe:
            # As servers do it, so that the port of a dashboard that has just ended counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((ADDRESS, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise DashboardError(
                        f"cannot listen on {ADDRESS}:{port}: {error.strerror}; choose another one with --port"
                    ) from error
            else:
                return port
    raise DashboardError(f"no free port from {first} on; choose another one with --port")


def _warm_up() -> None:
    """Imports what the first page needs, which else the first viewer would wait for."""
    for name in FIRST_NEEDED:
        importlib.import_module(name)


def _open_when_ready(url: str) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/_stcore/health", timeout=1):
            webbrowser.open(url)
            return
        time.sleep(0.1)


def _quietly(run: Callable[[], None]) -> None:
    """Runs the server without the address lines that Streamlit prints itself: ours stand there already."""
    import streamlit.web.bootstrap as bootstrap

    if hasattr(bootstrap, "_print_url"):
        bootstrap._print_url = lambda *_, **__: None
    run()
