"""What the shell offers by name. Each is a small function over a `ClusterView`, so that it reads well at a prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from actorflow.config.values import Duration
from actorflow.inspection.actor_views import ActorView
from actorflow.inspection.cluster_view import ClusterView
from actorflow.inspection.report import SlowReport
from actorflow.inspection.tree import Tree
from actorflow.repl.watching import follow


@dataclass(frozen=True)
class Names:
    """The names of the shell.

    Attributes:
        view: looks at the cluster.
    """

    view: ClusterView

    def tree(self, below: str = "/") -> Tree:
        """Show every actor: path, state, inbox, rates, busy and back-pressured share, restarts; or only those below a path."""
        rows = self.view.tree()
        return rows if below == "/" else Tree([row for row in rows if f"{row.path}/".startswith(f"{below.rstrip('/')}/")])

    def actor(self, path: str) -> ActorView:
        """Take an actor by its path: `observe()`, `story(n)`, `mailbox()`, `stack()`; of operators also `state(key)`, `tail(n)`, `ask(...)`."""
        return self.view.actor(path)

    def jobs(self) -> dict[str, str]:
        """Show all jobs with their status, the oldest first."""
        return {job: f"{summary.name}: {summary.status.value}" for job, summary in self.view.jobs().items()}

    def why_slow(self, job: str = "") -> SlowReport:
        """Say who holds up a job: its data, its event time, its checkpoints. Without a name, the job that was submitted last."""
        return self.view.why_slow(job or self._last())

    def watch(self, below: str = "/", *, every: Duration = "1s", times: int | None = None) -> None:
        """Show the tree again and again, until Ctrl-C."""
        follow(lambda: self.tree(below), every, times)

    def _last(self) -> str:
        running = [job for job, summary in self.view.jobs().items() if not summary.status.final]
        return running[-1] if running else "(none)"

    def offered(self) -> Mapping[str, Callable[..., Any]]:
        """Return the functions by their names at the prompt."""
        return {name: getattr(self, name) for name in ("tree", "actor", "jobs", "why_slow", "watch")}
