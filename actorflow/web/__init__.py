"""The web UI: pages of plain HTML, CSS and JavaScript, which ask REST for all that they show. Nothing is built, and nothing comes from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

CONTENT_SECURITY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What browsers are told: whatever a job calls itself, nothing of it is ever run, and no other server is asked."""

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FRONT = "index.html"


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file of the web UI.

    Attributes:
        content: its bytes, UTF-8.
        media_type: for the header of the answer.
    """

    content: bytes
    media_type: str


def web_files() -> Mapping[str, WebFile]:
    """Return the files by the paths that they are served at; the front page is at `/`."""
    files = {}
    for entry in resources.files(__name__).joinpath("static").iterdir():
        path = "/" if entry.name == _FRONT else f"/web/{entry.name}"
        files[path] = WebFile(entry.read_bytes(), f"{_TYPES[entry.name[entry.name.rindex('.') :]]}; charset=utf-8")
    return files
