"""What is wrong with a job is said before it leaves the user's process."""

import dataclasses
import threading

import pytest

import actorflow as af
from actorflow.api.submission import prepare
from actorflow.connectors.contracts import Sink
from actorflow.errors import ConfigError, PlanError
from actorflow.plan.chaining import build_execution_graph
from actorflow.plan.graph import Partitioner, Partitioning
from actorflow.wire.user_code import loads_code


class Nowhere(Sink):
    def open(self, ctx):
        raise NotImplementedError


class Locked(Sink):
    def __init__(self):
        self.lock = threading.Lock()

    def open(self, ctx):
        raise NotImplementedError


class Client(af.OperatorActor):
    def __init__(self):
        self.connections = {"main": threading.Lock()}


def pipeline_of(build):
    pipeline = af.Pipeline("job")
    build(pipeline.read(af.sources.collection([1, 2, 3])))
    return pipeline


def test_the_payload_is_the_execution_graph_with_functions_that_run():
    factor = 3
    pipeline = pipeline_of(lambda stream: stream.map(lambda n: n * factor).write(Nowhere()))
    submission = prepare(pipeline, default_parallelism=2)
    received = loads_code(submission.payload)
    assert submission.graph == pipeline.graph()
    assert submission.execution == build_execution_graph(pipeline.graph(), default_parallelism=2)
    assert (received.name, received.edges, received.channels) == ("job", submission.execution.edges, submission.execution.channels)
    assert received.vertices[0].operators[1].spec.fn(7) == 21


def test_a_graph_can_be_prepared_as_well_as_a_pipeline():
    graph = pipeline_of(lambda stream: stream.write(Nowhere())).graph()
    assert prepare(graph, default_parallelism=1).graph is graph


def test_chaining_can_be_turned_off():
    pipeline = pipeline_of(lambda stream: stream.map(str).write(Nowhere()))
    assert len(prepare(pipeline, default_parallelism=1).execution.vertices) == 1
    assert len(prepare(pipeline, default_parallelism=1, chaining=False).execution.vertices) == 3


def uses_lock(verb):
    lock = threading.Lock()
    return pipeline_of(lambda stream: verb(stream.map(str), lambda *arguments: lock).write(Nowhere()))


CLOSURE = "__closure__['lock']: TypeError: cannot pickle '_thread.lock' object"


@pytest.mark.parametrize(
    ("pipeline", "expected"),
    [
        (uses_lock(lambda stream, fn: stream.map(fn)), "cannot ship 'map-2': its fn cannot be pickled because of fn."),
        (uses_lock(lambda stream, fn: stream.key_by(fn).count()), "cannot ship 'count': its key cannot be pickled because of key."),
        (
            uses_lock(lambda stream, fn: stream.partition_by(fn, abs).map(str)),
            "cannot ship 'map-2': its choose cannot be pickled because of choose.",
        ),
    ],
)
def test_a_function_that_cannot_be_pickled_is_named_with_the_variable_to_blame(pipeline, expected):
    with pytest.raises(PlanError) as caught:
        prepare(pipeline, default_parallelism=1)
    assert caught.value.message.startswith(expected)
    assert caught.value.message.endswith(CLOSURE)
    assert caught.value.hint == "create it where it is used: inside the function, or in on_start of an OperatorActor"


def test_an_operator_that_cannot_be_pickled_is_named_with_the_attribute_to_blame():
    with pytest.raises(
        PlanError, match=r"cannot ship 'ask': its operator cannot be pickled because of operator\.connections\['main'\]: "
    ):
        prepare(pipeline_of(lambda stream: stream.process(Client(), name="ask").write(Nowhere())), default_parallelism=1)


def test_a_sink_that_cannot_be_pickled_is_named_with_the_attribute_to_blame():
    with pytest.raises(PlanError, match=r"cannot ship 'sink': its sink cannot be pickled because of sink\.lock: "):
        prepare(pipeline_of(lambda stream: stream.write(Locked())), default_parallelism=1)


def test_graph_faults_are_found():
    with pytest.raises(PlanError, match="pipeline 'job' writes nothing"):
        prepare(pipeline_of(lambda stream: stream), default_parallelism=1)


def test_two_operators_with_one_uid_are_refused():
    pipeline = pipeline_of(lambda stream: stream.map(str, uid="x").map(str, uid="x").write(Nowhere()))
    with pytest.raises(PlanError, match="'map' and 'map-2' have the same uid 'x'"):
        prepare(pipeline, default_parallelism=1)


def test_two_operators_with_one_name_are_refused():
    pipeline = pipeline_of(lambda stream: stream.map(str, name="x").map(str, name="x").write(Nowhere()))
    with pytest.raises(PlanError, match="two operators are named 'x'"):
        prepare(pipeline, default_parallelism=1)


def test_an_unstable_key_in_a_graph_made_by_hand_is_refused():
    graph = pipeline_of(lambda stream: stream.key_by(abs).count().write(Nowhere())).graph()
    by_id = dataclasses.replace(graph.edges[0], partitioner=Partitioner(Partitioning.HASH, key=id))
    with pytest.raises(PlanError, match="the input of 'count' cannot use 'id': it gives other keys in another process"):
        prepare(dataclasses.replace(graph, edges=(by_id, *graph.edges[1:])), default_parallelism=1)


def test_an_unknown_option_in_a_graph_made_by_hand_is_refused():
    graph = pipeline_of(lambda stream: stream.write(Nowhere())).graph()
    with pytest.raises(ConfigError, match="unknown option 'colour'"):
        prepare(dataclasses.replace(graph, config={"colour": 1}), default_parallelism=1)


@pytest.mark.parametrize(("checkpoints", "warnings"), [(True, 1), (False, 0)])
def test_a_job_with_checkpoints_is_told_that_a_socket_cannot_be_read_again(checkpoints, warnings, caplog):
    pipeline = af.Pipeline("job")
    lines = pipeline.read(af.sources.socket("localhost", 9), name="lines")
    lines.union(pipeline.read(af.sources.collection(["a"]))).write(Nowhere())
    prepare(pipeline, default_parallelism=1, checkpoints=checkpoints)
    assert warnings == caplog.text.count(
        "source 'lines' cannot be read again: after a failure, what it had read since the last checkpoint"
    )
    assert warnings == len(caplog.records)
