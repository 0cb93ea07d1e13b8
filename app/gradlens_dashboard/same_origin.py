"""An ASGI middleware that lets only the dashboard's own pages talk to its server.

Any web page that is open in the user's browser may send requests to the user's machine. If the owner of the page lets its name
point to 127.0.0.1, the page may even read the answers (DNS rebinding). Streamlit's ``server.allowedHosts`` does not prevent this:
it only holds for the websocket, and ignores the port.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# The names of the address that the dashboard listens on.
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
HTTP_PORT = 80
INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
FIXED_HEADERS = (
    # No page may show the dashboard in a frame, where it could trick the user into clicks on it.
    (b"x-frame-options", b"DENY"),
    # No other page may load a figure or a file from the dashboard as a picture or script.
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    # Addresses hold the names of runs, so they are not sent to other servers.
    (b"referrer-policy", b"same-origin"),
)


def content_policy(shell: str, port: int) -> str:
    """Returns the Content-Security-Policy of the pages: they may only load from this server.

    Args:
        shell: The HTML of the pages. Its inline scripts are allowed by their digests, and no others.
        port: Port of the server.
    """
    digests = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in INLINE_SCRIPT.findall(shell)
    )
    inline = " ".join(f"'sha256-{digest}'" for digest in digests)
    return "; ".join(
        (
            "default-src 'self'",
            # A downloaded picture is a data: address. Some browsers do not count the websocket as 'self'.
            f"connect-src 'self' data: ws://127.0.0.1:{port} ws://localhost:{port}",
            # Streamlit loads the script of a component from a blob that it makes itself, and uses WebAssembly.
            f"script-src 'self' blob: 'wasm-unsafe-eval' {inline}".rstrip(),
            # Streamlit and plotly write style sheets as they draw.
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


class SameOrigin:
    """Refuses requests for another host and requests from other pages. Adds the protective headers to all answers.

    A request is accepted if all of these hold: its target is a path; it has one ``Host``, which is the address and port of the
    server; and its ``Origin`` is the same address, or it has none. A websocket must have an ``Origin``, since browsers always
    send it there. All other requests get status 403 and one sentence.
    """

    def __init__(self, app: Application, port: int, policy: str) -> None:
        """Wraps an application.

        Args:
            app: The application, which answers accepted requests.
            port: Port of the server.
            policy: The Content-Security-Policy of all answers.
        """
        self._app = app
        self._port = port
        self._hosts = frozenset(f"{name}:{port}" for name in LOOPBACK) | (
            frozenset(LOOPBACK) if port == HTTP_PORT else frozenset()
        )
        self._headers = ((b"content-security-policy", policy.encode()), *FIXED_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes an accepted request to the application, and answers the others itself."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        reason = self._reason_to_refuse(scope)
        if reason is None:
            await self._app(scope, receive, self._with_headers(send))
        else:
            await _refuse(scope, receive, self._with_headers(send), reason)

    def _reason_to_refuse(self, scope: Scope) -> str | None:
        own = f"this dashboard answers only to its own pages at http://{LOOPBACK[0]}:{self._port}"
        if not scope["path"].startswith("/"):
            return f"Refused: {own}, and passes nothing on to other servers."
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return f"Refused: {own}; this request is for another host or port."
        origins = _values(scope, b"origin")
        if origins in ([f"http://{hosts[0]}"], []) and (origins or scope["type"] == "http"):
            return None
        return f"Refused: {own}; this request comes from elsewhere."

    def _with_headers(self, send: Send) -> Send:
        async def guarded(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                replaced = {name for name, _ in self._headers}
                kept = [pair for pair in message.get("headers", ()) if pair[0].lower() not in replaced]
                message = {**message, "headers": [*kept, *self._headers]}
            await send(message)

        return guarded


def _values(scope: Scope, name: bytes) -> list[str]:
    """Returns the values of a header in lower case, since upper and lower case mean the same in names of hosts."""
    return [value.decode("latin-1").lower() for key, value in scope["headers"] if key.lower() == name]


async def _refuse(scope: Scope, receive: Receive, send: Send, reason: str) -> None:
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close"})  # the server makes a 403 of it
            return
        kind = "websocket.http.response"
    body = f"{reason}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    await send({"type": f"{kind}.start", "status": 403, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
