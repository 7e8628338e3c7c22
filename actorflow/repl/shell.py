"""The shell itself: an IPython prompt on a cluster of its own, with a script if one is given, or on one that runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from actorflow import __version__
from actorflow.cluster.client import Client
from actorflow.cluster.local import LocalCluster
from actorflow.config import Config
from actorflow.errors import ActorflowError, ConfigError
from actorflow.inspection.cluster_view import ClusterView
from actorflow.inspection.tree import Tree
from actorflow.repl.names import Names
from actorflow.repl.rendering import drawn

SLOTS = 16
"""Slots of the shell's own cluster: one that nothing runs in is no process, and costs nothing."""

_BANNER = """actorflow {version}, {mode}
  tree()                    every actor: path, state, inbox, rates, busy, restarts        watch()   the same, again and again
  actor("/jobs/...")        one of them: observe() story() mailbox() stack() state(key) tail(n) ask(...)      Tab completes paths
  why_slow("job")           who is busy, who waits for whom, who holds the watermark or the barrier           jobs()
"""


def shell(script: str | None, arguments: Sequence[str], config: Config, *, allow_write: bool) -> None:
    """Start a cluster, maybe a script on it, and a prompt; return when that is left.

    Args:
        script: path of a Python script whose pipelines run on the cluster.
        arguments: the script's own.
        config: options of the cluster.
        allow_write: whether operators may be told and asked things, and `cluster` is there to submit and cancel.

    Raises:
        ConfigError: if IPython is not installed.
        ActorflowError: if the script cannot be read.
    """
    check_installed()
    with LocalCluster(slots=SLOTS, config=config) as cluster:
        module = ModuleType("__main__")
        sys.modules["__main__"] = module
        view = cluster.look(allow_write=allow_write)
        vars(module).update(Names(view).offered())
        if allow_write:
            vars(module)["cluster"] = cluster
        if script is not None:
            from actorflow.repl.script import begin

            begin(script, arguments, module, cluster)
        prompt(module, view)


def attach(config: Config, *, allow_write: bool) -> None:
    """Show a prompt on a running cluster; return when that is left. Its jobs go on.

    Args:
        config: options of the cluster.
        allow_write: whether operators may be told and asked things, and `client` is there to submit and cancel.

    Raises:
        ConfigError: if IPython is not installed.
        TransportError: if no JobManager answers.
    """
    check_installed()
    with Client.reaching(config) as client:
        module = ModuleType("__main__")
        sys.modules["__main__"] = module
        view = client.look(allow_write=allow_write)
        vars(module).update(Names(view).offered())
        if allow_write:
            vars(module)["client"] = client
        prompt(module, view)


def prompt(module: ModuleType, view: ClusterView) -> None:
    """Show a prompt with the names of a module, until it is left."""
    from IPython.terminal.interactiveshell import TerminalInteractiveShell

    ipython: Any = TerminalInteractiveShell.instance(user_module=module, user_ns=vars(module), confirm_exit=False)
    ipython.enable_tip = False
    mode = "reading and writing" if view.allow_write else "read-only: --allow-write lets you ask and tell"
    ipython.banner1 = _BANNER.format(version=__version__, mode=mode)
    ipython.display_formatter.formatters["text/plain"].for_type(Tree, lambda tree, printer, _: printer.text(drawn(tree)))
    ipython.set_custom_exc((ActorflowError,), _tell)
    ipython.Completer.custom_matchers.append(path_matcher(view))
    ipython.show_banner()
    try:
        ipython.mainloop()
    finally:
        TerminalInteractiveShell.clear_instance()


def path_matcher(view: ClusterView) -> Callable[[str], list[str]]:
    """Return what completes a word that begins like a path of an actor."""

    def match(word: str) -> list[str]:
        if not word.startswith(("/", "worker-")):
            return []
        try:
            return [path for path in view.paths() if path.startswith(word)]
        except ActorflowError:
            return []

    return match


def _tell(shell: Any, kind: type[BaseException], error: BaseException, trace: object, tb_offset: int | None = None) -> None:  # noqa: ARG001
    """Show an error of ours as a line: what is behind it is not the reader's code."""
    sys.stderr.write(f"error: {error}\n")


def check_installed() -> None:
    """Refuse to go on without what the shell is made of.

    Raises:
        ConfigError: if IPython is not installed.
    """
    try:
        import IPython  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the shell cannot start: the package '{error.name}' is not installed", hint="pip install 'actorflow[shell]'"
        ) from None
