"""Who answers: the application, while this JobManager leads; else the leader, to whom requests are redirected.

    follow(None) ─► 503, try again in a second     follow(url) ─► 307 to the same path there     lead(application) ─► answered here

A client that follows a redirect sends its token again only if it chooses to: most do not send it to another host or port. The address of the leader is
on its way to everybody when the leadership changes, so a redirect may for a moment lead to who leads no longer, and from there on.
"""

from __future__ import annotations

from actorflow.rest.guard import Application, Receive, Scope, Send, refuse

_AGAIN_S = 1
"""What clients are asked to wait while nobody is known to lead."""


class Front:
    """The application of a JobManager, whether or not it leads.

    Args:
        url: where it answers itself: it does not redirect there.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._application: Application | None = None
        self._leader_url: str | None = None

    def lead(self, application: Application) -> None:
        """Answer with an application from now on."""
        self._application = application

    def stand_by(self) -> None:
        """Answer no more."""
        self._application = None

    def follow(self, leader_url: str | None) -> None:
        """Redirect to a leader while this one does not lead itself; None if none is known."""
        self._leader_url = leader_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request."""
        application, leader_url = self._application, self._leader_url
        if application is not None:
            await application(scope, receive, send)
            return
        path: bytes = scope["raw_path"]
        if leader_url is None or leader_url == self._url or not path.startswith(b"/"):
            again = [(b"retry-after", str(_AGAIN_S).encode())]
            await refuse(send, 503, "this JobManager does not lead, and does not know who does (hint: try again)", again)
            return
        query: bytes = scope["query_string"]
        location = leader_url.encode() + path + (b"?" + query if query else b"")
        await refuse(send, 307, f"the leader answers at {leader_url}", [(b"location", location)])
