"""What every request passes before anything looks at it: its token, where it comes from, and how large its body is.

Without a token the server listens on loopback only, where a browser of the same host reaches it, too. So a page from elsewhere must not: a
request that names another host than this one (a name that was made to resolve to loopback), or comes from a page of another origin, is refused.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


class _TooLarge(Exception):  # noqa: N818 - the condition is the name
    """A body has turned out larger than allowed."""


class Entrance:
    """Decides who may pass.

    Args:
        token: what requests must carry; None if nothing.
        address: the interface that is listened on.
    """

    def __init__(self, token: str | None, address: str) -> None:
        self._token = token.encode() if token is not None else None
        self._hosts = (*_LOCAL_NAMES, address)

    def refusal(self, headers: Mapping[bytes, bytes], *, public: bool = False) -> tuple[int, str] | None:
        """Return status and reason for a request that may not pass; None for one that may.

        Args:
            headers: by their names in lower case.
            public: whether it may be without the token.
        """
        if self._token is not None:
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            if not public and (scheme.lower() != b"bearer" or not secrets.compare_digest(given.strip(), self._token)):
                return 401, "this server wants a token (hint: Authorization: Bearer TOKEN)"
            return None
        host = headers.get(b"host", b"").decode("latin-1")
        if _hostname(f"//{host}") not in self._hosts:
            return 403, "this server answers to the names of this host only, as long as it has no token"
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin.decode("latin-1")).netloc != host:
            return 403, "pages of other servers may not use this one, as long as it has no token"
        return None


class Guard:
    """Refuses what must not reach the application.

    Args:
        application: gets the rest.
        token: what requests must carry; None if nothing.
        public: paths that may be read without the token: pages that ask for it.
        address: the interface that is listened on.
        body_bytes_max: largest body.
    """

    def __init__(
        self, application: Application, *, token: str | None, public: Collection[str], address: str, body_bytes_max: int
    ) -> None:
        self._application = application
        self._public = public
        self._entrance = Entrance(token, address)
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request."""
        if scope["type"] != "http":
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        refusal = self._refusal(headers, public=scope["method"] == "GET" and scope["path"] in self._public)
        if refusal is not None:
            await _refuse(send, *refusal)
            return
        left, answered = self._body_bytes_max, False

        async def bounded() -> MutableMapping[str, Any]:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise _TooLarge
            return message

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._application(scope, bounded, noted)
        except _TooLarge:
            if not answered:
                await _refuse(send, 413, self._too_large())

    def _refusal(self, headers: Mapping[bytes, bytes], *, public: bool) -> tuple[int, str] | None:
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            return 400, "the length of the body is no number"
        if int(length) > self._body_bytes_max:
            return 413, self._too_large()
        return self._entrance.refusal(headers, public=public)

    def _too_large(self) -> str:
        return f"bodies may have {self._body_bytes_max:,} bytes (hint: rest.server.max-content-length)"


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


async def _refuse(send: Send, status: int, why: str) -> None:
    await refuse(send, status, why, [(b"www-authenticate", b"Bearer")] if status == 401 else [])


async def refuse(send: Send, status: int, why: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """Answer a request that does not reach the application, in the form of all refusals."""
    body = json.dumps({"errors": [why]}).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
