"""What the shell offers at its prompt, on a cluster in this thread."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

import actorflow as af
from actorflow.ids import Address
from actorflow.inspection.tree import COLUMNS, ActorRow, Tree
from actorflow.repl.names import Names
from actorflow.repl.rendering import drawn, tree_table
from actorflow.repl.script import Submitting
from actorflow.repl.shell import path_matcher
from actorflow.runtime.subtasks.meter import SubtaskMetrics
from actorflow.runtime.subtasks.subtask_contract import SubtaskView


@pytest.fixture(scope="module")
def names():
    pipeline = af.Pipeline("numbers")
    pipeline.read(af.sources.generator(rate=500)).rebalance().map(lambda n: n + 1, name="next").write(af.sinks.discard())
    with af.LocalCluster(slots="inline") as cluster:
        job = cluster.submit(pipeline, parallelism=1)
        assert job.wait_until(lambda: job.progress()[1] > 10, 20)
        yield Names(cluster.look())


def test_the_names_are_those_of_the_contract(names):
    assert set(names.offered()) == {"tree", "actor", "jobs", "why_slow", "watch"}
    assert all(function.__doc__ for function in names.offered().values())


def test_a_tree_below_a_path_has_that_path_and_what_is_below_it(names):
    assert [row.path for row in names.tree("/jobs/numbers")] == ["/jobs/numbers", "/jobs/numbers/source/0", "/jobs/numbers/next/0"]
    assert list(names.tree("/jobs/num")) == []
    assert len(names.tree()) > len(names.tree("/jobs"))


def test_the_job_that_was_submitted_last_is_meant_if_none_is_named(names):
    assert names.why_slow().job == names.why_slow("numbers").job == "numbers"
    assert list(names.jobs().values()) == ["numbers: running"]


def test_paths_are_completed_and_nothing_else_is(names):
    match = path_matcher(names.view)

    assert match("/jobs/numbers/n") == ["/jobs/numbers/next/0"]
    assert match("/task") == [path for path in names.view.paths() if path.startswith("/task")]
    assert match("jobs") == []


def test_the_tree_is_drawn_with_all_its_rows(names, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")  # whichever terminal the tests run in
    tree = names.tree("/jobs")
    head, *rows = drawn(tree).splitlines()

    assert head.split() == [*COLUMNS]
    assert [row.split()[0] for row in rows] == [row.path for row in tree]
    assert len(re.findall("<tr>", tree._repr_html_())) == len(tree) + 1


@pytest.mark.parametrize("width", [80, 100, 160])
def test_figures_are_whole_whatever_the_terminal(width):
    metrics = SubtaskMetrics(1, 1, 1, 1, 1000, 0, 0, 1.0, 0.0, 0.0, 1_234_567.0, 7_654_321.0)
    view = SubtaskView("a", "busy", "", metrics, 0, 0, (), {})
    path, kind = "/jobs/wordcount/an operator with a long name/10", "an operator with a long name -> another -> sink"
    row = ActorRow(path, kind, "no answer", 1_234, 0, 1_000, Address("here/there"), view)
    text = io.StringIO()
    Console(file=text, width=width).print(tree_table(Tree([row]), width))
    head, first, *others = text.getvalue().splitlines()

    assert max(map(len, [head, first, *others])) <= width
    assert [*COLUMNS[2:]] == head.split()[-len(COLUMNS) + 2 :]
    assert set(row.cells()[2:]) == {*re.split(" {2,}", first.rstrip())[-len(COLUMNS) + 2 :]}
    begins = head.index("kind") if "kind" in head else head.index("state")
    assert path.replace(" ", "") == "".join(line[:begins].replace(" ", "") for line in [first, *others])


def test_watching_draws_as_often_as_it_is_told(names, capsys):
    names.watch("/jobs/numbers/next", every="1ms", times=3)

    assert "/jobs/numbers/next/0" in capsys.readouterr().out


def test_a_script_runs_its_pipelines_on_the_cluster_that_is_there():
    pipeline = af.Pipeline("squares")
    squares = pipeline.read(af.sources.collection([1, 2, 3])).map(lambda n: n * n)
    with af.LocalCluster(slots="inline") as cluster:
        submitting = Submitting(cluster)
        assert sorted(submitting.collect(squares, slots=4, parallelism=1)) == [1, 4, 9]
        squares.write(af.sinks.discard())
        assert submitting.run(pipeline, config={"execution.batch-records.max": 2}, progress=False).records_in == 3
        assert [summary.name for summary in cluster.look().jobs().values()] == ["squares", "squares"]
