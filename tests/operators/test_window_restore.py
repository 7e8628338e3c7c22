"""A window operator that goes on from a snapshot does so as if nothing had happened: also with other subtasks, and amid a window's results."""

import pytest
from chain_harness import Subtask
from few_and_many import at_length
from hypothesis import strategies as st
from window_oracle import FOLDS, Runner, clock_steps, key_of, steps, unordered, value_of

from actorflow.ids import SubtaskId, VertexId
from actorflow.operators.windowing import evictors, pane_merging, pane_stage, triggers
from actorflow.operators.windowing.window_specs import WindowSpec
from actorflow.operators.windowing.windows import CountWindows, GlobalWindows, SessionWindows, TimeWindows
from actorflow.plan.execution import Vertex
from actorflow.plan.graph import LogicalOperator
from actorflow.plan.key_groups import key_group, subtask_of
from actorflow.runtime.checkpoints.saved_parts import operators_of, snapshots_of, taken_part
from actorflow.runtime.checkpoints.snapshots import SubtaskSnapshot, decoded, give_back
from actorflow.state.hashmap import HashMapBackend
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP
from actorflow.wire.savepoint_manifest import SavedVertex, decode_vertex, encode_vertex
from actorflow.wire.stable_hash import stable_hash

GROUPS = 16


def group_of(key):
    return key_group(stable_hash(key), GROUPS)


class Restored(Subtask):
    """One of several subtasks, maybe with a backend that is given, on a clock that may tick whenever somebody looks."""

    max_parallelism = GROUPS

    def __init__(self, backend=None, now_ms=0, index=0, parallelism=1, ticks=0):
        super().__init__()
        self.backend = HashMapBackend() if backend is None else backend
        self.now_ms = now_ms
        self.subtask = SubtaskId(VertexId("chain"), index)
        self.parallelism = parallelism
        self.ticks = ticks

    def keyed_backend(self, operator):
        return self.backend

    def processing_time(self):
        self.now_ms += self.ticks
        return self.now_ms


def snapshot_of(runner):
    """Return a snapshot, from its bytes."""
    chain = runner.chain
    chain.complete()
    keyed = {name: backend.snapshot(group_of) for name, backend in chain.backends().items()}
    watermarks = {name: backend.watermark for name, backend in chain.backends().items()}
    return decoded(SubtaskSnapshot(keyed, watermarks, chain.snapshot(), (), GROUPS).encoded())


class Restoring(Runner):
    """A runner that goes on from snapshots."""

    def __init__(self, spec, context, parts):
        self.parts = parts
        super().__init__(spec, context)

    def before_open(self):
        give_back(self.chain, self.parts, self.context.subtask.index, self.context.parallelism, GROUPS)


def sorted_values(key, window, records, ctx):
    return sorted(map(value_of, records))


EVENT_SPECS = {
    "tumbling panes": WindowSpec(key_of, TimeWindows(7, 7), FOLDS["sum"][0], lateness_ms=3),
    "sliding panes": WindowSpec(key_of, TimeWindows(9, 3, 1), FOLDS["aggregate"][0], lateness_ms=4),
    "sliding": WindowSpec(key_of, TimeWindows(9, 3, 1), function=sorted_values, lateness_ms=4),
    "sessions": WindowSpec(key_of, SessionWindows(5), FOLDS["aggregate"][0], lateness_ms=4),
    "sessions of the general operator": WindowSpec(
        key_of, SessionWindows(5), FOLDS["aggregate"][0], trigger=triggers.event_time(), lateness_ms=4
    ),
    "counts": WindowSpec(key_of, CountWindows(3, 2), FOLDS["aggregate"][0]),
    "evicting": WindowSpec(
        key_of,
        GlobalWindows(),
        function=sorted_values,
        trigger=triggers.delta(4, lambda a, b: b[1] - a[1]),
        evictor=evictors.time(6),
    ),
    "continuous": WindowSpec(key_of, TimeWindows(20, 20), function=sorted_values, trigger=triggers.continuous_event_time(4)),
}
CLOCK_SPECS = {
    "sliding panes": WindowSpec(key_of, TimeWindows(9, 3, 1, "processing"), FOLDS["aggregate"][0]),
    "sliding": WindowSpec(key_of, TimeWindows(9, 3, 1, "processing"), function=sorted_values),
    "sessions": WindowSpec(key_of, SessionWindows(5, "processing"), function=sorted_values),
    "timeouts": WindowSpec(key_of, GlobalWindows(), function=sorted_values, trigger=triggers.timeout(triggers.count(3), 6)),
}


def split(step, parallelism):
    """Return what each of several subtasks gets of a step."""
    kind, what = step
    if kind != "batch":
        return [step] * parallelism
    shares = [[] for _ in range(parallelism)]
    for record in what:
        shares[subtask_of(group_of(record[0]), parallelism, GROUPS)].append(record)
    return [("batch", share) for share in shares]


def run_in(runners, given_steps):
    """Return what each step brings to all subtasks together."""
    brought = []
    for step in given_steps:
        results, late = [], []
        for runner, share in zip(runners, split(step, len(runners)), strict=True):
            if share[1] != []:
                more = runner.take(share)
                results, late = results + more[0], late + more[1]
        brought.append((results, sorted(late)))
    return brought


def check(spec, given_steps, cut, before, after):
    whole = [(results, sorted(late)) for results, late in Runner(spec).run(given_steps)]
    first = [Runner(spec, Restored(index=index, parallelism=before)) for index in range(before)]
    brought = run_in(first, given_steps[:cut])
    parts, now_ms = [snapshot_of(runner) for runner in first], first[0].context.now_ms
    second = [Restoring(spec, Restored(now_ms=now_ms, index=index, parallelism=after), parts) for index in range(after)]
    for runner in second:
        runner.context.advance_to(now_ms)
    assert unordered(whole) == unordered(brought + run_in(second, given_steps[cut:]))


counts = st.sampled_from([1, 2, 3])


@at_length(steps(), st.integers(0, 12), st.sampled_from(sorted(EVENT_SPECS)), counts, counts, few=80)
def test_event_time_windows_go_on_after_a_restore(given_steps, cut, name, before, after):
    check(EVENT_SPECS[name], given_steps, cut, before, after)


@at_length(clock_steps(), st.integers(0, 12), st.sampled_from(sorted(CLOCK_SPECS)), counts, counts, few=60)
def test_processing_time_windows_go_on_after_a_restore(given_steps, cut, name, before, after):
    check(CLOCK_SPECS[name], [*given_steps, ("watermark", MAX_TIMESTAMP)], cut, before, after)


@pytest.mark.parametrize("name", ["tumbling panes", "sliding panes", "sessions", "sliding"])
@pytest.mark.parametrize("slices", range(1, 6))
def test_a_snapshot_amid_the_results_of_a_watermark_gives_each_once(monkeypatch, name, slices):
    monkeypatch.setattr(pane_merging, "KEYS_AT_ONCE", 3)
    monkeypatch.setattr(pane_stage, "KEYS_AT_ONCE", 3)
    monkeypatch.setattr("actorflow.operators.windowing.contents_stage._TIMERS_AT_ONCE", 3)
    spec = EVENT_SPECS[name]
    records = [(f"key {number}", number % 12, number) for number in range(40)]
    whole = Runner(spec).run([("batch", records), ("watermark", 15), ("watermark", MAX_TIMESTAMP)])
    first = Runner(spec, Restored(ticks=1))
    first.take(("batch", records))
    for _ in range(slices):
        assert 15 != first.chain.advance_watermark(15)
    second = Restoring(spec, Restored(ticks=1), [snapshot_of(first)])
    rest = second.run([("watermark", 15), ("watermark", MAX_TIMESTAMP)])
    given = sorted(first.output.stamped + rest[0][0], key=repr)
    assert sorted(whole[1][0], key=repr) == given
    assert unordered(whole[2:]) == unordered(rest[1:])


def as_it_is(snapshot, spec, directory):
    return snapshot


def from_a_savepoint(snapshot, spec, directory):
    """Return a snapshot as it comes back from the files and the manifest of a savepoint."""
    operator = LogicalOperator("window", "window-0", spec)
    vertex = Vertex(VertexId("window"), "window-0", (operator,), 1, GROUPS, "default", "default")
    part = taken_part(snapshot, vertex, 0, {}, ()).written(str(directory), {"window-0": "window"})
    saved = SavedVertex(str(directory), operators_of(vertex, [part]))
    return snapshots_of(decode_vertex(encode_vertex(saved)), vertex, 0)[0]


@pytest.mark.parametrize("stored", [as_it_is, from_a_savepoint])
@pytest.mark.parametrize("watermark", [15, MAX_TIMESTAMP])
@pytest.mark.parametrize("name", ["sessions", "sliding", "continuous"])
def test_what_a_snapshot_found_undone_is_done_before_the_next_watermark(monkeypatch, tmp_path, name, watermark, stored):
    monkeypatch.setattr("actorflow.operators.windowing.contents_stage._TIMERS_AT_ONCE", 3)
    spec = EVENT_SPECS[name]
    records = [(f"key {number}", number % 12, number) for number in range(40)]
    whole = Runner(spec).run([("batch", records), ("watermark", watermark)])
    first = Runner(spec, Restored(ticks=1))
    first.take(("batch", records))
    assert watermark != first.chain.advance_watermark(watermark)
    second = Restoring(spec, Restored(ticks=1), [stored(snapshot_of(first), spec, tmp_path)])
    assert second.chain.blocked
    while second.chain.blocked:  # as the subtask does, which has heard of no watermark yet
        second.chain.advance_watermark(MIN_TIMESTAMP)
    assert watermark == second.chain.advance_watermark(MIN_TIMESTAMP)
    given = sorted(first.output.stamped + second.output.stamped, key=repr)
    assert sorted(whole[1][0], key=repr) == given
