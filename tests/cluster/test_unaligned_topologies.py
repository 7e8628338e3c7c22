"""Programs of all shapes in virtual time whose subtasks fall behind and fail: each record in flight is processed once, in its place."""

import asyncio

import pytest
import test_programs_that_fail as programs
from test_unaligned_in_time import outputs

import actorflow as af
from actorflow.testing import TestSource

SIDE = af.Tag("side")


class Passes(af.OperatorActor):
    seen = af.ValueState(int, default=0)

    def on_record(self, record, ctx):
        self.seen.set(self.seen.get() + 1)
        ctx.emit(record)


class Parts(af.OperatorActor):
    def on_record(self, record, ctx):
        if record[1] % 3:
            ctx.emit(record)
        else:
            ctx.emit_to(SIDE, ("side", record[1]))


class Both(af.TwoInputOperator):
    def on_left(self, record, ctx):
        ctx.emit(("left", record[1]))

    def on_right(self, record, ctx):
        ctx.emit(("right", record[1]))


class Ruled(af.BroadcastOperator):
    rules = af.BroadcastState(str, int)

    def on_record(self, record, ctx):
        ctx.emit(record)

    def on_broadcast(self, record, ctx):
        self.rules.put(*record)


class Picks(af.OperatorActor):
    def on_record(self, record, ctx):
        ctx.emit((record["key"], record["number"]))


async def later(record):
    await asyncio.sleep(0.2)
    return record


def same(stream):
    return stream.map(lambda record: record)


def doubled(stream):
    dealt = same(stream.rebalance())
    return dealt.union(dealt).key_by(0).process(Passes())


def parts(stream):
    whole = stream.key_by(0).process(Parts())
    return same(whole.rebalance()).union(whole.side_output(SIDE).key_by(1).process(Passes()))


def odd(stream):
    return stream.filter(lambda record: record[1] % 2)


def first(stream):
    return stream.filter(lambda record: record[1] == 4)


def columns(stream):
    rows = stream.map(lambda record: {"key": record[0], "number": record[1]})
    twice = rows.map_batches(lambda frame: frame.with_columns(number=2 * frame["number"])).rebalance()
    return twice.union(rows.rebalance()).key_by("key").process(Picks())


TOPOLOGIES = {
    "union with itself": doubled,
    "union of edges": lambda stream: same(stream.rebalance().union(odd(stream).rebalance())).key_by(1).process(Passes()),
    "side output": parts,
    "two inputs": lambda stream: same(stream.key_by(0).connect(odd(stream).key_by(0)).process(Both()).rebalance()),
    "broadcast": lambda stream: same(stream.key_by(0).connect(first(stream).broadcast_state()).process(Ruled()).rebalance()),
    "custom": lambda stream: same(same(stream.partition_by(lambda key, parallelism: key % parallelism, 1)).shuffle()),
    "asynchronous": lambda stream: same(stream.rebalance().map_async(later, capacity=3, ordered=False)).key_by(0).process(Passes()),
    "columns beside objects": columns,
    "global": lambda stream: same(same(same(stream.rebalance()).global_()).rebalance()),
}


@pytest.mark.slow
@pytest.mark.parametrize("patience", [0, "100ms"])
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_what_was_in_flight_at_a_failure_is_processed_once(tmp_path, monkeypatch, name, patience):
    monkeypatch.setitem(programs.PROGRAMS, name, TOPOLOGIES[name])
    undisturbed, found, _ = outputs(name, tmp_path, monkeypatch, 1, patience)

    assert len(undisturbed) >= 80
    assert found == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("patience", [0, "100ms"])
def test_what_was_in_flight_while_sources_were_idle_or_had_ended_is_in_its_window_once(tmp_path, monkeypatch, patience):
    """Of three partitions one ends at once, and one is idle and comes back with records that are late for nobody."""

    def source(_partitions, _failures):
        ends, goes_on, idle = TestSource(), TestSource(), TestSource()
        for number in range(25):
            record = ("abc"[number % 3], number)
            goes_on = goes_on.at(100 * number, record).watermark(100 * number - 150).advance("50ms")
            if number < 3:
                ends = ends.at(100 * number, record)
            if number < 7:
                idle = idle.at(100 * number, record).advance("50ms")
            elif number < 14:
                idle = idle.at(5000 + 100 * number, record)
            if number == 6:
                idle = idle.idle().advance("900ms").abort(attempts=1)
        return TestSource.partitions(ends, goes_on.abort(attempts=9), idle)

    def windows(stream):
        return same(same(stream.rebalance()).key_by(0).window(af.windows.session(250)).count().rebalance())

    monkeypatch.setattr(programs, "source", source)
    monkeypatch.setitem(programs.PROGRAMS, "windows", windows)
    undisturbed, found, returned = outputs("windows", tmp_path, monkeypatch, 1, patience)

    assert found == undisturbed
    assert returned > 0


@pytest.mark.parametrize("patience", [0, "100ms"])
def test_what_was_in_flight_is_not_late_where_event_times_are_assigned_behind_it(tmp_path, monkeypatch, patience):
    """Each subtask has records in order. Dealt out anew, one would meet those of its neighbour, which was far ahead."""

    def source(_partitions, _failures):
        scripted = TestSource()
        for number in range(200):
            scripted = scripted.at(100 * number, ("abc"[number % 3], number)).advance("50ms")
            if number % 60 == 55:
                scripted = scripted.abort(attempts=1 + number // 60)
        return scripted

    def stamped(stream):
        timed = stream.rebalance().with_timestamps(lambda record: 100 * record[1], af.Watermarks.monotonous())
        return timed.key_by(0).window(af.windows.tumbling(700)).count()

    monkeypatch.setattr(programs, "source", source)
    monkeypatch.setitem(programs.PROGRAMS, "stamped", stamped)
    undisturbed, found, returned = outputs("stamped", tmp_path, monkeypatch, 0, patience)

    assert found == undisturbed
    assert returned > 0
