"""Interval joins, against pairs that are looked for naively."""

from chain_harness import chain_of
from hypothesis import given, settings
from hypothesis import strategies as st
from join_harness import BACKENDS, LEFT, RIGHT, Run, histories, key_of, on_backends

from actorflow.operators.joins.interval import IntervalJoin
from actorflow.operators.joins.specs import IntervalJoinSpec
from actorflow.wire.batch import MIN_TIMESTAMP, ObjectBatch


class Named:
    def __init__(self, name):
        self.name = name


TAGS = Named("late left"), Named("late right")


def naive(steps, lower, upper):
    """All pairs of records that are not late; and those that are."""
    pairs, late, watermark = [], {LEFT: [], RIGHT: []}, MIN_TIMESTAMP
    seen = {LEFT: [], RIGHT: []}
    for what, value in steps:
        if what == "watermark":
            watermark = value
            continue
        for record in value:
            if record[2] <= watermark:
                late[what].append(record)
                continue
            seen[what].append(record)
            for other in seen[1 - what]:
                left, right = (record, other) if what == LEFT else (other, record)
                if left[1] == right[1] and left[2] + lower <= right[2] <= left[2] + upper:
                    pairs.append(((left, right), max(left[2], right[2])))
    return pairs, late


@on_backends(hashmap=50, rocksdb=15)
def test_pairs_are_those_within_the_interval_and_state_goes_when_no_more_can_come(backend, examples):
    @given(histories(), st.integers(-12, 12), st.integers(0, 24))
    @settings(max_examples=examples, deadline=None)
    def check(steps, lower, length):
        upper = lower + length
        slack = max(1, (length + 1) // 4)  # buckets are so long
        watermark = MIN_TIMESTAMP

        def look(chain, step):
            nonlocal watermark
            if step[0] != "watermark":
                return
            watermark = step[1]
            for key in "ab":
                for side, reach in (("left", upper), ("right", -lower)):
                    for held in chain.state("interval_join-0", key).get(side, {}).values():
                        assert all(at + reach + slack > watermark for at, _ in held)

        run = Run(
            IntervalJoinSpec(key_of, key_of, IntervalJoin(lower, upper, *TAGS)), BACKENDS[backend], [tag.name for tag in TAGS], look
        )
        pairs, late = naive(steps, lower, upper)
        assert sorted(pairs) == sorted(run.play(steps))
        assert [late[LEFT], late[RIGHT]] == [run.sides[tag.name].records for tag in TAGS]
        assert (len(late[LEFT]), len(late[RIGHT])) == (run.facts["late_left"], run.facts["late_right"])

    check()


def test_a_pair_has_the_later_event_time_and_the_left_record_first():
    steps = [(RIGHT, [(RIGHT, "a", 10, 0)]), (LEFT, [(LEFT, "a", 12, 1)]), (RIGHT, [(RIGHT, "a", 14, 2)])]
    run = Run(IntervalJoinSpec(key_of, key_of, IntervalJoin(-2, 2)), BACKENDS["hashmap"])
    left = (LEFT, "a", 12, 1)
    assert [((left, (RIGHT, "a", 10, 0)), 12), ((left, (RIGHT, "a", 14, 2)), 14)] == run.play(steps)


def test_a_record_that_can_meet_nothing_any_more_is_not_kept():
    chain, _ = chain_of(IntervalJoinSpec(key_of, key_of, IntervalJoin(-10, -5)))
    chain.open()
    chain.advance_watermark(8)
    chain.process(ObjectBatch([(LEFT, "a", 12, 0)], [12]), LEFT)  # it would meet right records at 2 to 7, which are late
    chain.process(ObjectBatch([(LEFT, "b", 14, 1)], [14]), LEFT)
    assert ({}, 1) == (chain.state("interval_join-0", "a"), chain.observe()["interval_join-0"]["timers"])


def test_late_records_are_counted_also_if_nobody_reads_them():
    run = Run(IntervalJoinSpec(key_of, key_of, IntervalJoin(-2, 2)), BACKENDS["hashmap"])
    assert [] == run.play([("watermark", 5), (LEFT, [(LEFT, "a", 5, 0)]), (RIGHT, [(RIGHT, "a", 4, 1), (RIGHT, "a", 6, 2)])])
    assert (1, 1) == (run.facts["late_left"], run.facts["late_right"])
