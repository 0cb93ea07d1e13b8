"""Whose requests are answered: each rule by one request, without a server."""

import asyncio
import base64
import hashlib

import pytest

from gradlens_dashboard.same_origin import SameOrigin, content_policy

PORT = 8501


def answer(kind="http", path="/run", headers=(), port=PORT, extensions=()):
    """Returns the messages that a request gets. The application behind answers with status 200 and its own frame rule."""
    sent = []

    async def application(scope, receive, send):
        own = [(b"X-Frame-Options", b"ALLOWALL"), (b"server", b"mine")]
        await send(
            {"type": f"{kind}.response.start" if kind == "http" else "websocket.accept", "status": 200, "headers": own}
        )

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    pairs = [(name.lower().encode(), value.encode()) for name, value in headers]
    scope = {"type": kind, "path": path, "headers": pairs, "extensions": {name: {} for name in extensions}}
    asyncio.run(SameOrigin(application, port, "the policy")(scope, receive, send))
    return sent


def status(**request):
    return answer(**request)[0].get("status")


OWN = ("Host", f"localhost:{PORT}")


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ([OWN], 200),
        ([("Host", f"127.0.0.1:{PORT}")], 200),
        ([("Host", f"[::1]:{PORT}")], 200),
        ([("Host", f"LOCALHOST:{PORT}")], 200),
        ([OWN, ("Origin", f"http://localhost:{PORT}")], 200),
        ([], 403),
        ([OWN, OWN], 403),
        ([("Host", "localhost")], 403),
        ([("Host", "localhost:1")], 403),
        ([("Host", f"evil.example:{PORT}")], 403),
        ([OWN, ("Origin", f"http://127.0.0.1:{PORT}")], 403),  # another name is another origin
        ([OWN, ("Origin", f"https://localhost:{PORT}")], 403),
        ([OWN, ("Origin", "null")], 403),
        ([OWN, ("Origin", f"http://localhost:{PORT}"), ("Origin", "http://evil.example")], 403),
    ],
)
def test_a_request_needs_the_own_host_and_no_other_origin(headers, wanted):
    assert status(headers=headers) == wanted


def test_only_on_the_usual_port_the_host_has_none():
    assert status(headers=[("Host", "localhost")], port=80) == 200


def test_nothing_is_passed_on_to_other_servers():
    start, body = answer(path="http://evil.example/", headers=[OWN])
    assert start["status"] == 403
    assert b"passes nothing on" in body["body"]


def test_a_websocket_must_say_where_it_comes_from():
    (accepted,) = answer("websocket", headers=[OWN, ("Origin", f"http://localhost:{PORT}")])
    assert accepted["type"] == "websocket.accept"
    assert [m["type"] for m in answer("websocket", headers=[OWN])] == ["websocket.close"]
    start, _ = answer("websocket", headers=[OWN], extensions=["websocket.http.response"])
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 403)


@pytest.mark.parametrize("headers", [[OWN], []])
def test_every_answer_has_the_protective_headers_once(headers):
    found = [(name.lower(), value) for name, value in answer(headers=headers)[0]["headers"]]
    assert found.count((b"x-frame-options", b"DENY")) == 1
    assert [value for name, value in found if name == b"x-frame-options"] == [b"DENY"]
    assert (b"content-security-policy", b"the policy") in found
    assert ((b"server", b"mine") in found) == bool(headers)


def test_other_protocols_are_none_of_its_business():
    sent = answer("lifespan")
    assert sent[0]["status"] == 200
    assert (b"X-Frame-Options", b"ALLOWALL") in sent[0]["headers"]


def test_only_the_shells_own_scripts_may_run_inline():
    policy = content_policy("<script>one()</script><script src=x></script>", PORT)
    digest = base64.b64encode(hashlib.sha256(b"one()").digest()).decode()
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert scripts.count("sha256-") == 1
    assert f"'sha256-{digest}'" in scripts
    assert "unsafe-inline" not in scripts
    assert f"ws://localhost:{PORT}" in policy
