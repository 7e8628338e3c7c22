"""The commands that look at the jobs of a running cluster, and end them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from actorflow.cli.arguments import AsJson, ClusterFile, Define, Verbose
from actorflow.cli.failure import told
from actorflow.cli.tables import show_table

if TYPE_CHECKING:
    from actorflow.cluster.client import Client, JobInfo
    from actorflow.inspection.cluster_view import ClusterView
    from actorflow.inspection.facts import JobFacts

JobName = Annotated[str, typer.Argument(metavar="JOB", help="Its id, or the name of its pipeline.")]
Timeout = Annotated[str, typer.Option(help="How long to wait.")]
SavepointType = Annotated[
    Literal["canonical", "native"],
    typer.Option("--type", help="Open files for every backend, or the checkpoints' own format, which is quicker."),
]

_COLUMNS = ("job", "name", "status", "parallelism", "attempts", "in", "out", "time")


def _client(cluster: Path | None, define: list[str] | None) -> Client:
    from actorflow.cluster.client import Client
    from actorflow.config import from_assignments, layered, load, overrides

    return Client.reaching(layered(load(*([cluster] if cluster else [])), overrides(), from_assignments(define or [])))


def _row(job: JobInfo, facts: JobFacts | None) -> tuple[str, ...]:
    counters = (f"{job.attempts}", f"{job.records_in:,}", f"{job.records_out:,}", f"{job.duration_s:.1f} s")
    return (job.id, job.name, job.status.value, _parallelism(facts), *counters)


def _parallelism(facts: JobFacts | None) -> str:
    if facts is None:
        return "-"
    wanted = facts.rescaling_to
    return f"{facts.parallelism}" if wanted is None else f"{facts.parallelism} -> {wanted.wanted}"


def _plain(job: JobInfo, facts: JobFacts | None) -> dict[str, object]:
    fields = {field.name: getattr(job, field.name) for field in dataclasses.fields(job)}
    wanted = facts.rescaling_to if facts is not None else None
    return {
        **fields,
        "status": job.status.value,
        "error": str(job.error) if job.error else None,
        "parallelism": facts.parallelism if facts is not None else None,
        "rescaling": {"wanted": wanted.wanted, "phase": wanted.phase} if wanted is not None else None,
        "stages": [dataclasses.asdict(stage) for stage in facts.stages] if facts is not None else [],
    }


def _facts(job: JobInfo, view: ClusterView) -> JobFacts | None:
    """Return what runs in a job, or ran at its end; None if nobody says so."""
    from actorflow.errors import ActorflowError
    from actorflow.ids import JobId

    try:
        return view.ended(JobId(job.id)) if job.status.final else view.facts(JobId(job.id))
    except ActorflowError:  # it has ended meanwhile, or its JobMaster does not answer
        return None


def _show_stages(facts: JobFacts) -> None:
    """Print the stages of a batch job, with how many subtasks of each have finished."""
    for number, stage in enumerate(facts.stages, 1):
        subtasks = [subtask for subtask in facts.topology.subtasks() if subtask.vertex in stage.vertices]
        finished = sum(facts.state(subtask) == "finished" for subtask in subtasks)
        names = ", ".join(facts.topology.vertex(vertex).name for vertex in stage.vertices)
        print(f"stage {number} of {len(facts.stages)} is {stage.state} ({finished} of {len(subtasks)} subtasks finished): {names}")


def list_jobs(cluster: ClusterFile = None, define: Define = None, *, as_json: AsJson = False, verbose: Verbose = False) -> None:
    """List the jobs of a cluster.

    Example: actorflow list --cluster conf/cluster.yaml
    """
    from actorflow.ids import JobId

    with told(verbose=verbose), _client(cluster, define) as client:
        jobs = client.jobs()
        known = {facts.job: facts for facts in client.look().under_way()} if jobs else {}
        if as_json:
            print(json.dumps([_plain(job, known.get(JobId(job.id))) for job in jobs], indent=2))
        elif jobs:
            show_table(_COLUMNS, [_row(job, known.get(JobId(job.id))) for job in jobs])
        else:
            print("no jobs")


def status(
    name: JobName, cluster: ClusterFile = None, define: Define = None, *, as_json: AsJson = False, verbose: Verbose = False
) -> None:
    """Show how a job is, and what it waits for or has failed with.

    Example: actorflow status wordcount --cluster conf/cluster.yaml
    """
    with told(verbose=verbose), _client(cluster, define) as client:
        job = client.find(name)
        facts = _facts(job, client.look())
        if as_json:
            print(json.dumps(_plain(job, facts), indent=2))
            return
        show_table(_COLUMNS, [_row(job, facts)])
        if facts is not None:
            if (wanted := facts.rescaling_to) is not None:
                print(f"it is being rescaled to {wanted.wanted}: {wanted.phase}")
            _show_stages(facts)
        if job.error is not None:
            print(f"{'failed' if job.status.final else 'because'}: {job.error}")
            if job.error.traceback:
                print(job.error.traceback.rstrip())


def cancel(
    name: JobName,
    cluster: ClusterFile = None,
    define: Define = None,
    timeout: Timeout = "60s",
    *,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """End a job; its sinks commit nothing more.

    Example: actorflow cancel wordcount --cluster conf/cluster.yaml
    """
    from actorflow.errors import JobCancelled

    with told(verbose=verbose), _client(cluster, define) as client:
        job = client.job(name)
        job.cancel()
        try:
            job.wait(timeout)
        except JobCancelled:
            _done(f"cancelled job {job.id}", as_json=as_json, job=job.id, cancelled=True)
        else:
            _done(f"job {job.id} had finished before", as_json=as_json, job=job.id, cancelled=False)


def stop(
    name: JobName,
    savepoint: Annotated[
        str | None, typer.Option(metavar="DIR", help="Where its savepoint goes: a directory or a URI. Default: as the options say.")
    ] = None,
    cluster: ClusterFile = None,
    define: Define = None,
    timeout: Timeout = "10min",
    *,
    drain: Annotated[
        bool, typer.Option("--drain", help="Bring event time to its end before: for a job that is not continued.")
    ] = False,
    form: SavepointType = "canonical",
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """End a job with a savepoint, and its output committed up to there.

    Example: actorflow stop wordcount --savepoint saves --cluster conf/cluster.yaml
    """
    with told(verbose=verbose), _client(cluster, define) as client:
        job = client.job(name)
        path = job.stop(savepoint, drain=drain, format=form, timeout=timeout)
        _done(f"stopped job {job.id} with savepoint {path}", as_json=as_json, job=job.id, savepoint=path)


def take_savepoint(
    name: JobName,
    directory: Annotated[
        str | None, typer.Argument(metavar="[DIR]", help="Where it goes: a directory or a URI. Default: as the options say.")
    ] = None,
    cluster: ClusterFile = None,
    define: Define = None,
    timeout: Timeout = "10min",
    *,
    form: SavepointType = "canonical",
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Take a savepoint of a job, which goes on.

    Example: actorflow savepoint wordcount saves --cluster conf/cluster.yaml
    """
    with told(verbose=verbose), _client(cluster, define) as client:
        job = client.job(name)
        path = job.savepoint(directory, format=form, timeout=timeout)
        _done(path, as_json=as_json, job=job.id, savepoint=path)


def _done(text: str, *, as_json: bool, **facts: object) -> None:
    print(json.dumps(facts, indent=2) if as_json else text)


def rescale(
    name: JobName,
    parallelism: Annotated[
        int | None,
        typer.Option("--parallelism", "-p", min=1, help="Of operators that do not give their own. Default: as submitted."),
    ] = None,
    operator: Annotated[
        list[str] | None,
        typer.Option("--operator", metavar="UID=N", help="Parallelism of one operator, by its uid; repeat for more."),
    ] = None,
    at_least: Annotated[
        int,
        typer.Option("--at-least", min=1, help="What operators must have, or all that they want: with less the job does not run."),
    ] = 1,
    cluster: ClusterFile = None,
    define: Define = None,
    timeout: Timeout = "10min",
    *,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Let a job that takes no checkpoints begin anew: what it has done is done again.")
    ] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Have a job run with another parallelism; it goes on from a checkpoint that is taken for it.

    Example: actorflow rescale wordcount -p 4 --cluster conf/cluster.yaml
    """
    with told(verbose=verbose), _client(cluster, define) as client:
        job = client.job(name)
        operators = dict(map(_operator, operator or []))
        now = job.rescale(parallelism, operators=operators, at_least=at_least, from_scratch=from_scratch, timeout=timeout)
        lack = f" of {parallelism}, as there are no more slots" if now.parallelism < (parallelism or 1) else ""
        text = f"job {job.id} has a parallelism of {now.parallelism}{lack}, and did not run for {now.paused_s:.1f} s"
        _done(text, as_json=as_json, job=job.id, parallelism=now.parallelism, paused_s=now.paused_s)


def _operator(given: str) -> tuple[str, int]:
    from actorflow.errors import ConfigError

    uid, equals, number = given.rpartition("=")
    if not equals or not number.isdecimal():
        raise ConfigError(f"'{given}' is no operator with a parallelism", hint="--operator count=4")
    return uid, int(number)


def register(app: typer.Typer) -> None:
    """Add the commands of this module, but that of savepoints, which has a group of its own."""
    app.command("list")(list_jobs)
    app.command("status")(status)
    app.command("cancel")(cancel)
    app.command("stop")(stop)
    app.command("rescale")(rescale)
