"""A program without and with tracking; a dashboard of every kind of run, and a browser to look at it."""

from functools import partial

import pytest

from tests.dashboard_runs import make_folder
from tests.e2e.browser import CHROMIUM, PATIENCE
from tests.e2e.dashboard_server import free_port, healthy, start


@pytest.fixture
def both(tmp_path):
    """Runs a program without and with tracking."""
    from tests.e2e.both import run_both

    return partial(run_both, tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def address(folder):
    pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")

    port = free_port()
    server = start(folder, "--port", str(port))
    assert healthy(port, PATIENCE / 1000), "the server does not answer"
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait(30)


@pytest.fixture(scope="module")
def context():
    """One for all tests: a new one would compile Streamlit's and plotly's scripts anew, which takes most of a test's time."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="these tests need: pip install -e '.[dev]'")
    with sync_api.sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium.new_context(viewport={"width": 1280, "height": 900})
        chromium.close()


@pytest.fixture
def page(context):
    """A page that fails the test where the browser's console has an error in it."""
    page = context.new_page()
    page.trouble = []
    page.set_default_timeout(PATIENCE)
    page.set_default_navigation_timeout(PATIENCE)
    page.on("pageerror", lambda error: page.trouble.append(str(error)))

    def listen(message):
        if message.type == "error":
            page.trouble.append(message.text)

    page.on("console", listen)
    yield page
    page.close()
    assert not page.trouble, page.trouble
