"""The actor that tells of its node: figures, files, and where its threads stand.

It is asked by people, by way of the JobManager's REST server or a view of the cluster. Files are read on the pool, and no more of each than its end.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from actorflow.actor import Actor
from actorflow.config import Config, options
from actorflow.ids import ActorPath
from actorflow.runtime.nodes.node_figures import node_figures
from actorflow.runtime.nodes.node_files import FileRequested, NodeFiles
from actorflow.runtime.workers.stacks import StackRequested

log = logging.getLogger(__name__)

NODE_DESK_PATH = ActorPath("/node")
"""Of the actor, on the node of each JobManager and each TaskManager."""


class NodeDesk(Actor):
    """Tells of its node.

    Args:
        config: the node's options.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._files = NodeFiles(config[options.LOG_DIRECTORY])

    def on_receive(self, message: Any) -> None:
        """Answer a question, off the thread of the actors."""
        match message:
            case FileRequested(name=name):
                self._answer(lambda: self._files.end_of(name))
            case StackRequested():
                self._answer(stacks)
            case _:  # whoever can reach this node can send it any message
                log.warning("the node's desk dropped a message that is not for it: '%s'", type(message).__name__)

    def _answer(self, find: Callable[[], str | None]) -> None:
        asker = self.ctx.reply_to
        if asker is not None:
            self.ctx.system.submit_work(lambda: asker.set(find()))

    def observe(self) -> dict[str, Any]:
        """Return the node's figures by name, the names of its log and of what it has printed, and its files."""
        files = self._files
        return {
            "figures": node_figures(self.ctx.system),
            "log": files.log(),
            "stdout": files.stdout(),
            "files": files.listed(),
        }


def stacks() -> str:
    """Return where the threads of this process stand, the main thread first."""
    frames = sys._current_frames()
    threads = sorted(threading.enumerate(), key=lambda thread: (thread is not threading.main_thread(), thread.name))
    told = [
        f"{thread.name} (most recent call last):\n{''.join(traceback.format_stack(frames[thread.ident])).rstrip()}"
        for thread in threads
        if thread.ident in frames and thread is not threading.current_thread()
    ]
    return "\n\n".join(told)
