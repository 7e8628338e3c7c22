"""Operators of the user's inside a chain."""

import threading

import pytest
from chain_harness import Collected, Subtask, chain_of, port

from actorflow.errors import PlanError, UserFunctionError
from actorflow.operators.processing.actor import OperatorActor
from actorflow.operators.specs import CountSpec, MapSpec, ProcessSpec
from actorflow.state.descriptors import ListState, MapState, ValueState
from actorflow.wire.batch import MIN_TIMESTAMP, ObjectBatch


class Dedup(OperatorActor):
    seen = ValueState(bool, default=False)

    def on_record(self, record, ctx):
        if not self.seen.get():
            self.seen.set(True)
            ctx.emit(record)


class History(OperatorActor):
    last = ListState(int)
    lengths = MapState(int, int)

    def on_record(self, record, ctx):
        self.last.add(record)
        self.lengths.put(record, len(self.last.get()))
        ctx.emit((ctx.key, self.last.get(), dict(self.lengths.items())))


class Calls(OperatorActor):
    """Remembers its calls in a list that the copies share."""

    def __init__(self, name, calls):
        self.name = name
        self.calls = calls

    def __deepcopy__(self, memo):
        return Calls(self.name, self.calls)

    def on_start(self, ctx):
        self.calls.append(("start", self.name))
        ctx.emit(f"started {self.name}")

    def on_record(self, record, ctx):
        self.calls.append(("record", self.name, record))
        ctx.emit(record)

    def on_stop(self, ctx):
        self.calls.append(("stop", self.name))


def identity(record):
    return record


def test_value_state_is_kept_by_key_across_batches():
    chain, output = chain_of(ProcessSpec(identity, Dedup()))
    chain.open()
    for batch in (["a", "b", "a"], ["b", "c"]):
        chain.process(ObjectBatch(batch))
    assert ["a", "b", "c"] == output.records
    assert {"seen": True} == chain.state("process-0", "a")
    assert {} == chain.state("process-0", "z")


def test_list_and_map_state_are_kept_by_a_key_field_or_function():
    chain, output = chain_of(ProcessSpec(lambda n: n % 2, History()))
    chain.open()
    chain.process(ObjectBatch([1, 2, 3]))
    assert [(1, [1], {1: 1}), (0, [2], {2: 1}), (1, [1, 3], {1: 1, 3: 2})] == output.records
    assert {"last": [1, 3], "lengths": {1: 1, 3: 2}} == chain.state("process-0", 1)


def test_a_key_can_be_the_name_of_a_field():
    chain, output = chain_of(ProcessSpec("id", Dedup()))
    chain.open()
    chain.process(ObjectBatch([{"id": 1, "n": 1}, {"id": 1, "n": 2}]))
    assert [{"id": 1, "n": 1}] == output.records


def test_each_chain_works_on_a_copy_of_the_operator():
    operator = Dedup()
    for _ in range(2):
        chain, output = chain_of(ProcessSpec(identity, operator))
        chain.open()
        chain.process(ObjectBatch(["a"]))
        assert ["a"] == output.records
    assert {} == vars(operator)


def test_an_operator_that_cannot_be_copied_is_refused_with_the_reason():
    operator = Dedup()
    operator.lock = threading.Lock()
    with pytest.raises(PlanError, match=r"'process-0' cannot give each subtask its own Dedup.*lock.*on_start"):
        chain_of(ProcessSpec(identity, operator))


def test_keyed_state_without_key_by_is_refused_when_the_chain_opens():
    chain, _ = chain_of(ProcessSpec(None, Dedup()))
    with pytest.raises(PlanError, match=r"'process-0' declares keyed state \(seen\).*key_by"):
        chain.open()


def test_keyed_state_in_on_start_is_refused():
    class Early(Dedup):
        def on_start(self, ctx):
            self.seen.get()

    chain, _ = chain_of(ProcessSpec(identity, Early()))
    with pytest.raises(PlanError, match="no current key"):
        chain.open()


def test_keyed_state_in_on_message_is_refused_even_after_records():
    class Asking(Dedup):
        def on_message(self, message, ctx):
            self.seen.set(True)

    chain, _ = chain_of(ProcessSpec(identity, Asking()))
    chain.open()
    chain.process(ObjectBatch(["a"]))
    with pytest.raises(PlanError, match="no current key"):
        chain.message("process-0", 1, print)


def test_operators_start_last_first_and_stop_first_first():
    calls = []
    chain, output = chain_of(ProcessSpec(None, Calls("a", calls)), MapSpec(str), ProcessSpec(None, Calls("b", calls)))
    chain.open()
    chain.close()
    assert [("start", "b"), ("start", "a"), ("record", "b", "started a"), ("stop", "a"), ("stop", "b")] == calls
    assert ["started b", "started a"] == output.records


def test_all_operators_are_stopped_even_if_one_fails_to_and_only_those_that_started():
    class Stubborn(Calls):
        def __deepcopy__(self, memo):
            return self

        def on_stop(self, ctx):
            raise ValueError("will not stop")

    calls = []
    chain, _ = chain_of(ProcessSpec(None, Stubborn("a", calls)), ProcessSpec(None, Calls("b", calls)))
    chain.open()
    with pytest.raises(UserFunctionError, match="will not stop"):
        chain.close()
    assert ("stop", "b") == calls[-1]

    chain, _ = chain_of(ProcessSpec(None, Calls("c", calls)))
    chain.close()
    assert ("stop", "b") == calls[-1]


def test_emitting_in_on_stop_is_refused():
    class Late(OperatorActor):
        def on_stop(self, ctx):
            ctx.emit(1)

    chain, output = chain_of(ProcessSpec(None, Late()))
    chain.open()
    with pytest.raises(PlanError, match="'process-0' emitted records in on_stop"):
        chain.close()
    assert [] == output.records


def test_side_outputs_go_to_the_ports_of_their_tag_and_nowhere_else():
    class Split(OperatorActor):
        def on_record(self, record, ctx):
            ctx.emit_to("odd" if record % 2 else "unread", record)
            ctx.emit_to(type("Tag", (), {"name": "all"}), record, timestamp=record * 100)
            ctx.emit(-record)

    odd, everything = Collected(), Collected()
    chain, output = chain_of(
        MapSpec(lambda n: n + 1), ProcessSpec(None, Split()), MapSpec(str), ports=[port(odd, 1, "odd"), port(everything, 1, "all")]
    )
    chain.open()
    chain.process(ObjectBatch([0, 1, 2], [10, 11, 12]))
    assert [(1, 10), (3, 12)] == odd.stamped
    assert [(1, 100), (2, 200), (3, 300)] == everything.stamped
    assert [("-1", 10), ("-2", 11), ("-3", 12)] == output.stamped


def test_the_context_shows_key_time_watermark_and_subtask():
    seen = []

    class Looking(OperatorActor):
        def on_record(self, record, ctx):
            seen.append((ctx.key, ctx.timestamp, ctx.watermark))
            ctx.emit(record, timestamp=99)

        def on_message(self, message, ctx):
            seen.append((ctx.key, ctx.timestamp, ctx.watermark, ctx.parallel_index, ctx.parallelism, ctx.attempt))
            seen.append(ctx.cached_file("lookup"))
            ctx.actor("/jobs/other").tell("hello")

    context = Subtask()
    chain, output = chain_of(ProcessSpec(identity, Looking()), context=context)
    chain.open()
    chain.process(ObjectBatch(["a"], [5]))
    assert 7 == chain.advance_watermark(7)
    chain.process(ObjectBatch(["b"], [8]))
    chain.message("process-0", "look", print)
    assert [("a", 5, MIN_TIMESTAMP), ("b", 8, 7), (None, None, 7, 1, 2, 1), "cached/lookup"] == seen
    assert [("/jobs/other", "hello")] == context.told
    assert [("a", 99), ("b", 99)] == output.stamped


def test_a_message_can_be_answered_and_can_emit():
    class Answering(OperatorActor):
        def on_message(self, message, ctx):
            ctx.reply(message * 2)
            ctx.emit(message)

        def on_record(self, record, ctx):
            ctx.reply(record)

    replies = []
    chain, output = chain_of(ProcessSpec(None, Answering()), CountSpec(identity))
    chain.open()
    chain.message("process-0", 4, replies.append)
    assert ([8], [(4, 1)]) == (replies, output.records)
    with pytest.raises(PlanError, match="replied where there is no message"):
        chain.process(ObjectBatch([1]))


def test_a_message_to_an_operator_that_takes_none_is_refused_with_those_that_do():
    chain, _ = chain_of(MapSpec(str), ProcessSpec(None, Dedup()))
    with pytest.raises(PlanError, match=r"no operator 'map-0' takes messages.*process-1"):
        chain.message("map-0", 1, print)


def test_a_failing_on_message_names_the_operator():
    chain, _ = chain_of(ProcessSpec(identity, Dedup()))
    chain.open()
    with pytest.raises(UserFunctionError, match="Dedup takes no messages"):
        chain.message("process-0", 1, print)


@pytest.mark.parametrize("timestamp", [1.5, "1", True, 2**63, -(2**63) - 1])
@pytest.mark.parametrize("tag", [None, "side"])
def test_a_record_is_not_emitted_with_what_is_no_event_time(timestamp, tag):
    class Stamping(OperatorActor):
        def on_record(self, record, ctx):
            if tag is None:
                ctx.emit(record, timestamp)
            else:
                ctx.emit_to(tag, record, timestamp)

    chain, _ = chain_of(ProcessSpec(None, Stamping()), ports=[port(Collected(), 0), port(Collected(), 0, "side")])
    chain.open()
    with pytest.raises(PlanError, match="'process-0' emits a record with the event time"):
        chain.process(ObjectBatch(["a"], [1]))


def test_records_with_and_without_timestamps_in_one_call_are_refused():
    class Mixed(OperatorActor):
        def on_record(self, record, ctx):
            ctx.emit(record)
            ctx.emit(record, timestamp=1)

    chain, _ = chain_of(ProcessSpec(None, Mixed()))
    chain.open()
    with pytest.raises(PlanError, match="some records with a timestamp and some without"):
        chain.process(ObjectBatch([1]))


def test_observe_counts_records_and_keys():
    chain, _ = chain_of(MapSpec(str), ProcessSpec(identity, Dedup()), CountSpec(identity))
    chain.open()
    chain.process(ObjectBatch([1, 1, 2]))
    assert {
        "map-0": {"records_in": 3, "records_out": 3},
        "process-1": {"records_in": 3, "records_out": 2, "keys": 2, "timers": 0},
        "count-2": {"records_in": 2, "records_out": 2, "keys": 2},
    } == chain.observe()


def test_an_operator_shows_facts_of_its_own():
    class Counting(OperatorActor):
        def on_start(self, ctx):
            self.odd = 0

        def on_record(self, record, ctx):
            self.odd += record % 2

        def observe(self):
            return {"odd": self.odd}

    chain, _ = chain_of(ProcessSpec(None, Counting()))
    chain.open()
    chain.process(ObjectBatch([1, 2, 3]))
    assert {"records_in": 3, "records_out": 0, "odd": 2} == chain.observe()["process-0"]
