"""Markdown pages as programs.

The blocks fenced as ```` ```python ```` of a page are one program, run in order, as `python page.py` in an empty directory that holds a
copy of the page. Fragments are fenced as ```` ```python no-run ````. What the program prints must be what the page shows in its
```` ```output ```` blocks, if it shows any.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(.*)$")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$")


@dataclass(frozen=True)
class Page:
    """A page, taken apart.

    Attributes:
        program: the Python of the page; every line stands at its line number of the page, so that tracebacks point there.
        output: the lines the page says are printed.
        fragments: number of Python blocks that do not run.
        links: targets of its links.
        anchors: what a link to one of its headings has behind the `#`.
    """

    program: str
    output: str
    fragments: int
    links: tuple[str, ...]
    anchors: frozenset[str]

    @property
    def runs(self) -> bool:
        """Whether there is anything to run."""
        return bool(self.program.strip())


def read_page(text: str) -> Page:
    """Take a page apart."""
    program, output, prose = [], [], []
    fragments = 0
    fence = None
    for line in text.splitlines():
        opened = FENCE.match(line)
        program.append(line if fence == "python" and not opened else "")
        if opened:
            fence = opened[1].strip() if fence is None else None
            fragments += fence == "python no-run"
        elif fence == "output":
            output.append(line)
        elif fence is None:
            prose.append(line)
    anchors = frozenset(_anchor(heading[1]) for line in prose if (heading := HEADING.match(line)))
    return Page("\n".join(program), "\n".join(output), fragments, tuple(LINK.findall("\n".join(prose))), anchors)


def _anchor(heading: str) -> str:
    """Return what GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def run_page(path: Path, folder: Path) -> None:
    """Run a page's program in a folder, and compare what it prints with what the page shows.

    Raises:
        AssertionError: with the program's own error output, or both texts.
    """
    text = path.read_text()
    page = read_page(text)
    (folder / path.name).write_text(text)
    script = folder / f"{path.stem}.py"
    script.write_text(page.program)
    done = subprocess.run([sys.executable, script.name], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{path.name} does not run:\n{done.stderr}"
    if page.output:
        assert page.output == done.stdout.rstrip("\n"), f"{path.name} shows:\n{page.output}\nbut it prints:\n{done.stdout}"
