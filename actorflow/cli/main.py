"""The commands and their options. Each command imports what it needs when it runs: `actorflow --version` is instant."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from actorflow import __version__
from actorflow.cli import clusters, jobs, nodes
from actorflow.cli.arguments import ClusterFile, Define, Verbose
from actorflow.cli.failure import told
from actorflow.cli.savepoint_group import TAKE, SavepointGroup

app = typer.Typer(
    name="actorflow",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
example = typer.Typer(help="Run an example pipeline.", no_args_is_help=True)
config = typer.Typer(help="Look at configuration.", no_args_is_help=True)
app.add_typer(example, name="example")
app.add_typer(config, name="config")
savepoint = typer.Typer(
    cls=SavepointGroup,
    help="Take a savepoint of a job: actorflow savepoint JOB [DIR]. Look at savepoints.\n\n"
    "Example: actorflow savepoint wordcount saves --cluster conf/cluster.yaml",
    no_args_is_help=True,
)
app.add_typer(savepoint, name="savepoint")
savepoint.command(TAKE)(jobs.take_savepoint)
clusters.register(app)
nodes.register(app)
jobs.register(app)


def main() -> None:
    """Run the command line: the entry point of the package."""
    app(prog_name="actorflow")


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - the signature of an option's callback
    if not wanted:
        return
    import platform

    print(f"actorflow {__version__} ({platform.python_implementation()} {platform.python_version()})")
    raise typer.Exit


@app.callback()
def _actorflow(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A distributed dataflow engine built from actors."""


@app.command(context_settings={"ignore_unknown_options": True})
def run(
    script: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A Python script that calls af.run.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Its own arguments; put -- before those that look like ours.")
    ] = None,
    parallelism: Annotated[
        int | None, typer.Option("-p", "--parallelism", min=1, help="Subtasks of an operator where the script does not say.")
    ] = None,
    define: Define = None,
    files: Annotated[
        list[Path] | None,
        typer.Option("--config", metavar="FILE", help="A YAML file of options; may be repeated, the later before."),
    ] = None,
    cluster: ClusterFile = None,
    from_savepoint: Annotated[
        str | None, typer.Option(help="Go on from a savepoint, or from a retained checkpoint: its directory.")
    ] = None,
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Submit to the cluster, and do not wait for the end.")] = False,
    allow_non_restored_state: Annotated[
        bool, typer.Option("--allow-non-restored-state", help="Leave state in the savepoint behind that no operator takes.")
    ] = False,
    claim_mode: Annotated[
        Literal["no-claim", "claim"] | None,
        typer.Option(help="Whether the savepoint belongs to the job from now on. Default: no-claim."),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Run a script; its pipelines run on this machine, or on a cluster.

    Example: actorflow run --cluster conf/cluster.yaml --detach job.py
    """
    from actorflow.cli.script import (
        options_for_script,
        run_script,
        savepoint_assignments,
        set_up_logging,
        target_assignments,
        use_files,
    )

    with told(verbose=verbose):
        start = savepoint_assignments(from_savepoint, claim_mode, allow_non_restored_state=allow_non_restored_state)
        target = target_assignments(on_cluster=cluster is not None, detach=detach)
        options = options_for_script(parallelism, [*(define or []), *start, *target], os.environ)
        use_files([*([cluster] if cluster else []), *(files or [])])
        set_up_logging(options)
    with told(verbose=verbose, script=str(script)):
        run_script(str(script), arguments or [], options)


@app.command(context_settings={"ignore_unknown_options": True})
def shell(
    script: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, readable=True, help="A Python script whose pipelines are looked at."),
    ] = None,
    arguments: Annotated[list[str] | None, typer.Argument(help="Its own arguments.")] = None,
    define: Define = None,
    cluster: ClusterFile = None,
    files: Annotated[
        list[Path] | None,
        typer.Option("--config", metavar="FILE", help="A YAML file of options; may be repeated, the later before."),
    ] = None,
    *,
    allow_write: Annotated[
        bool, typer.Option("--allow-write", help="Also ask and tell operators things, submit and cancel jobs.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Look at a living cluster at a Python prompt: at one that runs, or an embedded one with the pipelines of a script.

    Example: actorflow shell job.py
    """
    with told(verbose=verbose):
        from actorflow.config import from_assignments, layered, load, overrides
        from actorflow.errors import ConfigError
        from actorflow.repl.shell import attach
        from actorflow.repl.shell import shell as start

        if script is not None and cluster is not None:
            raise ConfigError(
                "a script runs on a cluster of the shell's own", hint="submit it: actorflow run --cluster FILE --detach"
            )
        config = layered(load(*([cluster] if cluster else []), *(files or [])), overrides(), from_assignments(define or []))
        if cluster is not None:
            attach(config, allow_write=allow_write)
        else:
            start(str(script) if script is not None else None, arguments or [], config, allow_write=allow_write)


@example.command("list")
def list_examples() -> None:
    """List the examples.

    Example: actorflow example list
    """
    from actorflow.examples import summaries

    for name, summary in summaries().items():
        print(f"{name:<12} {summary}")


@example.command()
def wordcount(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH]...", help="Files, directories, globs or URIs. Default: Python's own library."),
    ] = None,
    slots: Annotated[int, typer.Option(min=1, help="Slot processes.")] = 2,
    top: Annotated[int, typer.Option(min=1, help="How many words to show.")] = 20,
    *,
    verbose: Verbose = False,
) -> None:
    """Count the words of real text, by default of Python's own standard library.

    Example: actorflow example wordcount --top 5
    """
    with told(verbose=verbose):
        from actorflow.examples.wordcount import main as count_words

        count_words(paths or [], slots=slots, top=top)


@example.command()
def flights(
    which: Annotated[
        Literal["delays", "sessions", "weather", "top"] | None, typer.Option(help="Which of its programs. Default: all.")
    ] = None,
    slots: Annotated[int, typer.Option(min=1, help="Slot processes.")] = 2,
    shown: Annotated[int, typer.Option(min=1, help="How many results to show.")] = 5,
    *,
    verbose: Verbose = False,
) -> None:
    """Run programs in event time on the flights of a year: sliding windows, sessions, a join, windows of windows.

    Example: actorflow example flights --which sessions
    """
    with told(verbose=verbose):
        from actorflow.examples.flights import main as run_programs

        run_programs([which] if which else (), slots=slots, shown=shown)


@config.command()
def explain(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="YAML files. Default: those that ACTORFLOW_CONFIG names.")
    ] = None,
    define: Define = None,
    *,
    only_set: Annotated[bool, typer.Option("--set", help="Leave out the options that have their default.")] = False,
    verbose: Verbose = False,
) -> None:
    """Show every option with its value and where it was set.

    Example: actorflow config explain conf/cluster.yaml --set
    """
    with told(verbose=verbose):
        from actorflow.config import from_assignments, layered, load, overrides
        from actorflow.config.explain import explain as explained

        config = layered(load(*(files or [])), overrides(), from_assignments(define or []))
        print(explained(config, everything=not only_set))


@savepoint.command()
def show(
    path: Annotated[str, typer.Argument(help="The directory of a savepoint.")],
    *,
    verbose: Verbose = False,
) -> None:
    """Show what a savepoint holds: operators, states, rows.

    Example: actorflow savepoint show saves/savepoint-wordcount-1
    """
    with told(verbose=verbose):
        from actorflow.savepoint.tables import read

        print(read(path))


@savepoint.command()
def diff(
    first: Annotated[str, typer.Argument(help="The directory of a savepoint.")],
    second: Annotated[str, typer.Argument(help="That of another one.")],
    *,
    verbose: Verbose = False,
) -> None:
    """Compare two savepoints: how many rows of each state only one of them has.

    Example: actorflow savepoint diff saves/savepoint-wordcount-1 saves/savepoint-wordcount-2
    """
    with told(verbose=verbose):
        from actorflow.savepoint.tables import diff as difference

        print(difference(first, second))


@app.command()
def keygen(
    directory: Annotated[Path, typer.Argument(file_okay=False, help="Where to put the keys; made if it does not exist.")],
    *,
    verbose: Verbose = False,
) -> None:
    """Make a CURVE key pair, which nodes need that listen on anything but loopback.

    Example: actorflow keygen keys
    """
    with told(verbose=verbose):
        from actorflow.cli.keys import make_keys

        print(make_keys(directory))


if __name__ == "__main__":
    main()
