"""Starts the server of the dashboard: a Streamlit server in this process. It listens on this machine only, until Ctrl-C."""

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
from gradlens_dashboard.page_list import PAGES
from gradlens_dashboard.same_origin import LOOPBACK, SameOrigin, content_policy

if TYPE_CHECKING:
    import streamlit as st

ADDRESS = "127.0.0.1"
FIRST_PORT = 8501
PORTS_TRIED = 100
# This environment variable tells the app which folder to show. Streamlit runs the app as a script.
FOLDER_VARIABLE = "GRADLENS_RUNS"
# Streamlit's script first looks for the server below the path of the page, which browsers report as an error. With this it
# knows where the server is, and does not look.
SERVER_IS_HERE = "<script>window.__streamlit = { BACKEND_BASE_URL: window.location.origin };</script>"
# If plotly's script does not load, its element is removed, and a figure asks for the script again. The Content-Security-Policy
# forbids the attribute `onerror`, so a listener does this.
TRY_AGAIN_LATER = """<script>
      document.currentScript.previousElementSibling.addEventListener("error", (event) => event.target.remove())
    </script>"""
APP = Path(__file__).resolve().parent
# plotly.js is read from plotly's package, so no network is needed.
PLOTLY_ROUTE = "/gradlens/plotly.min.js"
# Modules that the first page needs and that are slow to import. Most are loaded while the browser reads Streamlit's scripts.
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
    # Settings in the user's own Streamlit configuration must not weaken SameOrigin.
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
    """The dashboard cannot be started. The message says why and what to do."""


def start(runs_dir: str | os.PathLike[str] = "runs", port: int | None = None, open_browser: bool = True) -> None:
    """Serves the dashboard of a folder of runs until Ctrl-C.

    Args:
        runs_dir: Folder that holds the runs. It may be empty.
        port: Port to listen on; None = 8501. If it is in use, the next free port is taken.
        open_browser: True to open the page in the browser.

    Raises:
        DashboardError: The folder or the app's files do not exist, streamlit or plotly is not installed, or no port is free.
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
    """Returns the Streamlit application of a folder of runs. A process can have only one.

    Args:
        folder: Folder that holds the runs.
        port: Port of the server. Only requests from its own pages are answered.

    Raises:
        DashboardError: streamlit or plotly is not installed, or the app's files do not exist.
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
    # By default Streamlit takes each file in the folder `pages` for a page, and does not run main.py the first time.
    PagesManager.uses_pages_directory = False
    script = (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_bytes()
    # The address changes with the version, so a browser may keep the compiled script forever. Without the second header Streamlit
    # compresses the script at every request, which takes almost a second.
    kept = {"Cache-Control": "public, max-age=31536000, immutable", "Content-Encoding": "identity"}

    async def plotly_js(request: object) -> Response:  # noqa: ARG001
        return Response(script, media_type="text/javascript", headers=kept)

    shell = (Path(st.__file__).parent / "static" / "index.html").read_text("utf-8")
    # With this the browser loads and compiles plotly together with Streamlit's scripts, before the first figure needs it.
    early = f'<script async src="{plotly_address()}"></script>\n    {TRY_AGAIN_LATER}'
    shell = shell.replace("<script", f"{SERVER_IS_HERE}\n    {early}\n    <script", 1)

    async def page(request: object) -> HTMLResponse:  # noqa: ARG001
        return HTMLResponse(shell, headers={"Cache-Control": "no-cache"})

    pages = [Route(f"/{listed.path}", page) for listed in PAGES]
    door = Middleware(SameOrigin, port=port, policy=content_policy(shell, port))
    return st.App(APP / "main.py", routes=[Route(PLOTLY_ROUTE, plotly_js), *pages], middleware=[door])


def plotly_address() -> str:
    """Returns the address of plotly.js on the server. It holds the version of plotly."""
    import plotly

    return f"{PLOTLY_ROUTE}?{plotly.__version__}"


def free_port(first: int) -> int:
    """Returns the first free port, from ``first`` upwards.

    Raises:
        DashboardError: No port is free, or this user may not listen there.
    """
    for port in range(first, min(first + PORTS_TRIED, 65536)):
        with socket.socket() as probe:
            # Servers set this too. With it the port of a dashboard that has just ended counts as free.
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
    """Imports the modules that the first page needs, so that the first viewer does not wait for them."""
    for name in FIRST_NEEDED:
        importlib.import_module(name)


def _open_when_ready(url: str) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/_stcore/health", timeout=1):
            webbrowser.open(url)
            return
        time.sleep(0.1)


def _quietly(run: Callable[[], None]) -> None:
    """Runs the server without Streamlit's own address lines, since ``start`` has printed the address already."""
    import streamlit.web.bootstrap as bootstrap

    if hasattr(bootstrap, "_print_url"):
        bootstrap._print_url = lambda *_, **__: None
    run()
