"""What leads to no sink is left out, and said."""

import logging
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

import actorflow as af
from actorflow.api.submission import prepare
from actorflow.ids import OperatorId
from actorflow.plan.graph import LogicalEdge, LogicalGraph, LogicalOperator, OperatorSpec, Role
from actorflow.plan.pruning import not_run, prune


class Source(OperatorSpec):
    role = Role.SOURCE


class Step(OperatorSpec):
    pass


class Actor(OperatorSpec):
    acts = True


class Sink(OperatorSpec):
    role = Role.SINK


SPECS = {"source": Source(), "step": Step(), "actor": Actor(), "sink": Sink()}


def graph(operators, edges):
    """Return a graph of operators by name, each `kind` or `kind-number`."""
    made = tuple(LogicalOperator(OperatorId(name), name, SPECS[name.partition("-")[0]]) for name in operators)
    return LogicalGraph("job", made, tuple(LogicalEdge(OperatorId(a), OperatorId(b)) for a, b in edges))


def test_a_graph_that_is_all_needed_stays_as_it_is():
    whole = graph(["source", "step", "sink"], [("source", "step"), ("step", "sink")])
    assert (whole, ()) == prune(whole)


def test_a_branch_without_a_sink_is_left_out_with_its_source():
    whole = graph(["source-1", "source-2", "step", "sink"], [("source-1", "sink"), ("source-1", "step"), ("source-2", "step")])
    pruned, unused = prune(whole)
    assert graph(["source-1", "sink"], [("source-1", "sink")]) == pruned
    assert ["source-2", "step"] == [operator.name for operator in unused]


def test_an_operator_that_acts_by_itself_runs_without_a_sink():
    whole = graph(["source", "actor", "step", "sink"], [("source", "actor"), ("actor", "step"), ("source", "sink")])
    assert ["step"] == [operator.name for operator in prune(whole)[1]]


@given(st.data())
def test_exactly_those_are_kept_from_which_a_sink_or_an_actor_can_be_reached(data):
    kinds = data.draw(st.lists(st.sampled_from(list(SPECS)), min_size=1, max_size=10))
    names = [f"{kind}-{number}" for number, kind in enumerate(kinds)]
    pairs = [(a, b) for number, b in enumerate(names) for a in names[:number]]
    edges = data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []

    def leads_on(name):
        return name.startswith(("sink", "actor")) or any(leads_on(target) for source, target in edges if source == name)

    pruned, unused = prune(graph(names, edges))
    assert [name for name in names if leads_on(name)] == [operator.name for operator in pruned.operators]
    assert [name for name in names if not leads_on(name)] == [operator.name for operator in unused]
    assert [(a, b) for a, b in edges if leads_on(b)] == [(edge.source, edge.target) for edge in pruned.edges]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["step"], "'step' leads to no sink and is not run"),
        (["step-1", "step-2"], "'step-1', 'step-2' lead to no sink and are not run"),
    ],
)
def test_what_was_left_out_is_said_in_a_line(names, text):
    assert text == not_run(prune(graph(names, []))[1])


class Counts(af.OperatorActor):
    """Can be asked, so that nobody needs to take what it gives."""

    def on_record(self, record, ctx):
        pass


def tried_out():
    pipeline = af.Pipeline("tried out")
    numbers = pipeline.read(af.sources.collection([1, 2]), name="numbers")
    numbers.map(lambda n: 1 // 0, name="tried")
    pipeline.read(af.sources.generator(), name="endless").filter(lambda n: n < 0, name="rare")
    numbers.process(Counts(), name="counts")
    numbers.write(af.sinks.collect(), name="out")
    return pipeline


def test_a_pipeline_runs_without_what_leads_to_no_sink_and_warns(caplog):
    with caplog.at_level(logging.WARNING):
        result = af.run(tried_out(), slots="inline", parallelism=1)
    assert [1, 2] == result.results
    [warning] = caplog.messages
    assert warning.startswith(
        "pipeline 'tried out': 'tried', 'endless', 'rare' lead to no sink and are not run (hint: end a stream"
    )


def test_explain_says_what_is_not_run():
    text = tried_out().explain()
    assert "'tried', 'endless', 'rare' lead to no sink and are not run\n" == text.splitlines(keepends=True)[-1]
    assert "pipeline 'tried out' (mode auto): 3 operators in" in text


def test_what_cannot_be_shipped_does_not_matter_where_it_is_not_run():
    pipeline = af.Pipeline("lock")
    numbers = pipeline.read(af.sources.collection([1]), name="numbers")
    lock = threading.Lock()
    numbers.map(lambda n: lock, name="locked")
    numbers.write(af.sinks.discard(), name="out")
    assert ["numbers", "out"] == [operator.name for operator in prepare(pipeline, default_parallelism=1).graph.operators]
