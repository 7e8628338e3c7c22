"""Connections of the REST server: a bounded number of them, each of which has to say what it wants in time.

    connected ──request whole──► answering ──answered──► connected again, or closed by the server when it is idle
        └── not whole after `REQUEST_WITHIN_S`, however busily it sends ──► closed

Otherwise connections that say nothing, or a byte now and then, would take up the files that the process may have open, and the node with them.
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_WITHIN_S: Final = 15.0
"""How long a request may take to arrive."""

CONNECTIONS_MAX: Final = 256
"""How many connections there may be; more are closed at once."""


class PromptConnection(H11Protocol):
    """One connection."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        """Begin to wait for a request."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
        else:
            self._await_request()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request. The time that it may take began with its first part."""
        super().data_received(data)
        request = self.cycle  # the last one whose head is whole
        if request is None or request.more_body or request.response_complete:
            self._await_request()
        else:
            self._await_nothing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._await_nothing()
        super().connection_lost(exc)

    def _await_request(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_WITHIN_S, self.transport.abort)

    def _await_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
