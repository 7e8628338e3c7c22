"""Joins by key alone, against all pairs; and what is said of records that met none."""

from hypothesis import given, settings
from hypothesis import strategies as st
from join_harness import BACKENDS, LEFT, RIGHT, Run, histories, key_of, on_backends

from actorflow.operators.joins.specs import JoinSpec
from actorflow.operators.joins.unbounded import UnboundedJoin


def naive(steps, how, ttl):
    """Everything that comes out: pairs of records of which the first was kept when the second came, and those that met none."""
    came, results, met, now = [], [], set(), 0
    for what, value in steps:
        if what == "clock":
            now = value
        elif what in {LEFT, RIGHT}:
            for record in value:
                for other, at in came:
                    if other[0] != record[0] and other[1] == record[1] and (ttl is None or now - at < ttl):
                        pair = (record, other) if what == LEFT else (other, record)
                        results.append((pair, max(record[2], other[2])))
                        met |= {record, other}
                came.append((record, now))
    for record, _ in came:
        if record not in met:
            if record[0] == LEFT and how in {"left", "full"}:
                results.append(((record, None), record[2]))
            if record[0] == RIGHT and how in {"right", "full"}:
                results.append(((None, record), record[2]))
    return sorted(results, key=repr)


@on_backends(hashmap=50, rocksdb=15)
def test_records_meet_all_that_are_kept_and_those_that_met_none_are_given_out(backend, examples):
    @given(histories(clock=True), st.sampled_from(["inner", "left", "right", "full"]), st.none() | st.integers(1, 30))
    @settings(max_examples=examples, deadline=None)
    def check(steps, how, ttl):
        def look(chain, _):
            for key in "ab":
                for held in chain.state("join-0", key).values():
                    assert ttl is None or all(came + ttl > run.context.now_ms for came in held), "expired state is gone"

        run = Run(
            JoinSpec(key_of, key_of, UnboundedJoin(how, ttl)),
            BACKENDS[backend],
            look=look,
            keeps_state=ttl is None,
        )
        assert naive(steps, how, ttl) == sorted(run.play(steps), key=repr)

    check()


def test_that_a_record_met_none_is_said_when_its_time_is_over():
    a, b = (LEFT, "a", 1, 0), (RIGHT, "a", 2, 1)
    run = Run(JoinSpec(key_of, key_of, UnboundedJoin("full", 10)), BACKENDS["hashmap"])
    seen = []
    run.look = lambda chain, step: seen.append(len(run.output.records))
    results = run.play([(LEFT, [a]), ("clock", 9), ("clock", 10), (RIGHT, [b])])
    assert [((a, None), 1), ((None, b), 2)] == results
    assert [0, 0, 1, 1, 2] == seen


def test_records_without_event_times_are_joined_too():
    run = Run(JoinSpec(key_of, key_of, UnboundedJoin("inner", None)), BACKENDS["hashmap"], keeps_state=True)
    run.stamped = False
    a, b = (LEFT, "a", 0, 0), (RIGHT, "a", 0, 1)
    assert [((a, b), None)] == run.play([(LEFT, [a]), (RIGHT, [b])])
