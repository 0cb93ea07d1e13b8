"""The dashboard's server lets in its own pages and nobody else: real requests and handshakes, by hand and by a browser."""

import base64
import contextlib
import http.client
import http.server
import os
import re
import socket
import threading

import pytest

from tests.e2e.browser import NEEDS_BROWSER, figures_drawn, ready, titled

pytest.importorskip("streamlit", reason="the dashboard needs: pip install -e '.[app]'")
STREAM = "/_stcore/stream"
# One path of each kind that the server answers, by the name of the kind.
PATHS = {
    "runs page": "/",
    "run page": "/run?run=lt",
    "no page": "/no/such/page",
    "health": "/_stcore/health",
    "configuration": "/_stcore/host-config",
    "metrics": "/_stcore/metrics",
    "agents": "/_stcore/agent/openapi.json",
    "upload": "/_stcore/upload_file/session/file",
    "script": "/gradlens/plotly.min.js",
    "static file": "/favicon.png",
    "script of Streamlit": "/static/js/none.js",
    "component": "/component/gradlens.chart/index.html",
    "component of version 2": "/_stcore/bidi-components/gradlens.chart/chart.js",
    "media": "/media/0123456789abcdef.png",
    "websocket": STREAM,
}


@pytest.fixture(scope="module")
def port(address):
    return int(address.rpartition(":")[2])


def ask(port, path, *headers, method="GET", version="HTTP/1.1"):
    """Sends a request of exactly these headers; returns status, headers in lower case, and text."""
    lines = [f"{method} {path} {version}", *headers, "Connection: close", "", ""]
    return send(port, "\r\n".join(lines), method)


def shake(port, *headers, path=STREAM):
    """Begins a websocket with exactly these headers besides its own; returns status, headers in lower case, and text."""
    key = base64.b64encode(os.urandom(16)).decode()
    own = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
    return send(port, "\r\n".join([f"GET {path} HTTP/1.1", *headers, *own, "", ""]))


def send(port, text, method="GET"):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(text.encode("latin-1"))
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, "" if answer.status == 101 else answer.read().decode("latin-1")


def reach(port, kind, *headers):
    return shake(port, *headers) if kind == "websocket" else ask(port, PATHS[kind], *headers)


def refused(answer):
    status, headers, text = answer
    assert status == 403, answer
    assert headers["content-type"].startswith("text/plain")
    assert re.fullmatch(
        r"Refused: this dashboard answers only to its own pages at http://127\.0\.0\.1:\d+[^.\n]*\.\n", text
    )


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LocalHost", "[::1]"])
def test_the_servers_own_names_are_let_in(port, name):
    host = f"{name}:{port}"
    status, _, text = ask(port, "/", f"Host: {host}")
    assert status == 200
    assert '<div id="root">' in text
    assert ask(port, "/", f"Host: {host}", f"Origin: http://{host.lower()}")[0] == 200
    assert ask(port, "/_stcore/health", f"Host: {host}")[2] == "ok"
    assert shake(port, f"Host: {host}", f"Origin: http://{host.lower()}")[0] == 101


def test_a_page_comes_over_the_websocket(port):
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
    from websockets.sync.client import connect

    question = BackMsg()
    question.rerun_script.query_string = ""
    own = f"127.0.0.1:{port}"
    with connect(f"ws://{own}{STREAM}", origin=f"http://{own}", subprotocols=["streamlit"], max_size=None) as stream:
        stream.send(question.SerializeToString())
        titles = (ForwardMsg.FromString(stream.recv(60)).page_config_changed.title for _ in range(1000))
        assert "Runs · gradlens" in titles


@pytest.mark.parametrize("kind", PATHS)
def test_foreign_names_and_pages_are_refused_on_every_kind_of_path(port, kind):
    own = f"127.0.0.1:{port}"
    assert reach(port, kind, f"Host: {own}", f"Origin: http://{own}")[0] in (101, 200, 404, 405)
    for host in ("rebound.example", f"rebound.example:{port}", f"127.0.0.1:{port + 1}", f"127.0.0.1.example:{port}"):
        refused(reach(port, kind, f"Host: {host}", f"Origin: http://{host}"))
        refused(reach(port, kind, f"Host: {host}"))
        refused(reach(port, kind, f"Host: {own}", f"Origin: http://{host}"))
        refused(reach(port, kind, f"Host: {host}", f"Origin: http://{own}"))


HOSTS = {
    "without port": "127.0.0.1",
    "without port by name": "localhost",
    "empty": "",
    "empty port": "localhost:",
    "trailing dot": "localhost.:{port}",
    "zero before the port": "localhost:0{port}",
    "all addresses": "0.0.0.0:{port}",
    "another address of the machine": "127.0.0.2:{port}",
    "short form": "127.1:{port}",
    "subdomain": "dashboard.localhost:{port}",
    "with a user": "127.0.0.1:{port}@rebound.example",
    "list": "127.0.0.1:{port}, rebound.example",
    "not ASCII": "127.0.0.1:{port}\xe9",
}


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_other_ways_to_write_a_host(port, host):
    host = host.format(port=port)
    refused(ask(port, "/", f"Host: {host}"))
    refused(shake(port, f"Host: {host}", f"Origin: http://127.0.0.1:{port}"))


ORIGINS = {
    "opaque": "null",
    "another port": "http://127.0.0.1:1",
    "port of http": "http://127.0.0.1",
    "another scheme": "https://127.0.0.1:{port}",
    "no scheme": "127.0.0.1:{port}",
    "another name of this machine": "http://localhost:{port}",  # perhaps the page of a program that listens on ::1
    "trailing dot": "http://127.0.0.1.:{port}",
    "trailing slash": "http://127.0.0.1:{port}/",
    "with a user": "http://127.0.0.1:{port}@rebound.example",
    "extension": "chrome-extension://abcdefghijklmnop",
    "empty": "",
}


@pytest.mark.parametrize("origin", ORIGINS.values(), ids=ORIGINS)
def test_other_origins(port, origin):
    headers = f"Host: 127.0.0.1:{port}", f"Origin: {origin.format(port=port)}"
    refused(ask(port, "/", *headers))
    refused(shake(port, *headers))


def test_a_websocket_must_say_where_it_comes_from(port):
    refused(shake(port, f"Host: 127.0.0.1:{port}"))
    refused(shake(port, f"Host: 127.0.0.1:{port}", path="/no/such/stream"))


def test_several_hosts_or_origins(port):
    own, other = f"127.0.0.1:{port}", "rebound.example"
    for first, second in ((own, other), (other, own), (own, own)):
        hosts = f"Host: {first}", f"Host: {second}"
        # The server's own parser may refuse these before the dashboard sees them.
        assert ask(port, "/", *hosts)[0] in (400, 403)
        assert shake(port, *hosts, f"Origin: http://{own}")[0] in (400, 403)
        origins = f"Origin: http://{first}", f"Origin: http://{second}"
        refused(ask(port, "/", f"Host: {own}", *origins))
        assert shake(port, f"Host: {own}", *origins)[0] in (400, 403)


def test_without_a_host(port):
    assert ask(port, "/")[0] in (400, 403)
    refused(ask(port, "/", version="HTTP/1.0"))


def test_whole_addresses_as_targets(port):
    own = f"Host: 127.0.0.1:{port}"
    for target in ("http://rebound.example/", f"http://127.0.0.1:{port}/", "http://rebound.example/_stcore/health"):
        refused(ask(port, target, own))
        refused(ask(port, target, "Host: rebound.example"))
    refused(shake(port, own, f"Origin: http://127.0.0.1:{port}", path=f"http://rebound.example{STREAM}"))
    refused(ask(port, "*", own, method="OPTIONS"))
    refused(ask(port, "rebound.example:443", own, method="CONNECT"))


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_every_method(port, method):
    for headers in (
        ("Host: rebound.example",),
        (f"Host: 127.0.0.1:{port}", "Origin: http://rebound.example", "Access-Control-Request-Method: PUT"),
    ):
        status, answered, _ = ask(port, PATHS["upload"], *headers, method=method)
        assert status == 403
        assert not any(name.startswith("access-control-") for name in answered)


@pytest.mark.parametrize("kind", [kind for kind in PATHS if kind != "websocket"])
def test_headers_that_guard_every_answer(port, kind):
    for host in (f"127.0.0.1:{port}", "rebound.example"):
        _, headers, _ = ask(port, PATHS[kind], f"Host: {host}")
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["frame-ancestors"] == "'none'"
        assert policy["default-src"] == "'self'"
        assert not {"'unsafe-inline'", "'unsafe-eval'", "*"} & set(policy["script-src"].split())
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["referrer-policy"] == "same-origin"


class TestInABrowser:
    pytestmark = NEEDS_BROWSER

    def test_own_pages_work_within_the_policy(self, page, address):
        page.add_init_script(
            "window.blocked = []; document.addEventListener('securitypolicyviolation', (e) => "
            "window.blocked.push(`${e.violatedDirective} ${e.blockedURI} ${e.sample}`));"
        )
        for path, title in {"": "Runs", "run?run=lt": "Run", "classes?run=classes": "Classes"}.items():
            page.goto(f"{address.replace('127.0.0.1', 'localhost')}/{path}")
            titled(page, title)
            ready(page)
            if path:
                figures_drawn(page)
            assert page.evaluate("window.blocked") == []
        # The policy is in force: a script that stands in the page does not run, and that is an error on the console.
        page.evaluate(
            "const script = document.createElement('script'); script.textContent = 'window.ran = 1'; document.body.append(script)"
        )
        assert page.evaluate("window.ran") is None
        page.wait_for_function("window.blocked.length === 1")
        assert len(page.trouble) == 1
        page.trouble.clear()

    def test_a_page_of_another_local_port_gets_nothing(self, context, address):
        page = context.new_page()
        try:
            with foreign_page() as foreign:
                page.goto(foreign)
                got = page.evaluate(PROBE, [address, PATHS["static file"], PATHS["script"]])
                framed = [frame.url for frame in page.frames if frame is not page.main_frame]
        finally:
            page.close()
        assert got == dict.fromkeys(("fetch", "websocket", "image", "script"), "error")
        assert framed == ["chrome-error://chromewebdata/"]


# What a page can try: to read, to talk, and to show as its own.
PROBE = """async ([address, picture, script]) => {
  const settled = (target, good) => new Promise((done) => {
    target.addEventListener(good, () => done(good));
    target.addEventListener("error", () => done("error"));
  });
  const shown = (tag, path) => {
    const element = Object.assign(document.createElement(tag), { src: address + path });
    document.body.append(element);
    return settled(element, "load");
  };
  await shown("iframe", "/");
  return {
    fetch: await fetch(address + "/_stcore/health").then(() => "load", () => "error"),
    websocket: await settled(new WebSocket(address.replace("http", "ws") + "/_stcore/stream", ["streamlit"]), "open"),
    image: await shown("img", picture),
    script: await shown("script", script),
  };
}"""


@contextlib.contextmanager
def foreign_page():
    """Serves an empty page on another port of this machine."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>foreign</title><body></body>")

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
