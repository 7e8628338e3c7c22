"""As-of joins, against a search through all versions."""

from hypothesis import given, settings
from hypothesis import strategies as st
from join_harness import BACKENDS, LEFT, RIGHT, Run, histories, key_of, on_backends

from actorflow.operators.joins.as_of import AsOfJoin
from actorflow.operators.joins.specs import AsOfJoinSpec
from actorflow.wire.batch import MAX_TIMESTAMP, MIN_TIMESTAMP


class Late:
    name = "late"


def naive(steps, tolerance, unmatched):
    """What comes out, sorted; and the late left records. A left record meets what is known when the watermark reaches its time."""
    results, late, watermark = [], [], MIN_TIMESTAMP
    versions, waiting = [], []
    for what, value in [*steps, ("watermark", MAX_TIMESTAMP)]:
        if what == LEFT:
            for record in value:
                (late if record[2] <= watermark else waiting).append(record)
        elif what == RIGHT:
            for record in value:
                newest = max((seen[2] for seen in versions if seen[1] == record[1] and seen[2] <= watermark), default=MIN_TIMESTAMP)
                if record[2] > watermark or record[2] >= newest:
                    versions.append(record)
        else:
            watermark = value
            for left in [record for record in waiting if record[2] <= watermark]:
                waiting.remove(left)
                found = [seen for seen in versions if seen[1] == left[1] and seen[2] <= left[2]]
                latest = max(found, key=lambda seen: (seen[2], seen[3]), default=None)
                if latest is not None and tolerance is not None and left[2] - latest[2] > tolerance:
                    latest = None
                if latest is not None or unmatched:
                    results.append(((left, latest), left[2]))
    return sorted(results, key=repr), late


@on_backends(hashmap=50, rocksdb=15)
def test_a_left_record_meets_the_latest_right_one_at_or_before_it(backend, examples):
    @given(histories(), st.none() | st.integers(0, 20), st.booleans())
    @settings(max_examples=examples, deadline=None)
    def check(steps, tolerance, unmatched):
        spec = AsOfJoinSpec(key_of, key_of, AsOfJoin(tolerance, unmatched=unmatched, late_left=Late()))
        run = Run(spec, BACKENDS[backend], ["late"], keeps_state=tolerance is None)
        expected, late = naive(steps, tolerance, unmatched)
        assert expected == sorted(run.play(steps), key=repr)
        assert late == run.sides["late"].records

    check()


def played(steps, **options):
    run = Run(AsOfJoinSpec(key_of, key_of, AsOfJoin(**options)), BACKENDS["hashmap"], keeps_state=True)
    return [(left[2], right and right[2], at) for (left, right), at in run.play(steps)]


def left(at):
    return LEFT, [(LEFT, "a", at, at)]


def right(at):
    return RIGHT, [(RIGHT, "a", at, at)]


def test_left_records_come_out_in_the_order_of_time_when_the_watermark_has_reached_them():
    steps = [left(9), right(7), left(5), right(3), left(2)]
    assert [(2, None, 2), (5, 3, 5), (9, 7, 9)] == played(steps, tolerance_ms=None, unmatched=True)
    assert [(5, 3, 5), (9, 7, 9)] == played(steps, tolerance_ms=None, unmatched=False)


def test_a_version_within_the_tolerance_counts_to_the_millisecond():
    steps = [right(10), left(15), left(16)]
    assert [(15, 10, 15), (16, None, 16)] == played(steps, tolerance_ms=5, unmatched=True)


def test_a_late_version_is_for_those_to_come_unless_there_is_a_later_one():
    steps = [("watermark", 10), right(8), right(6), left(12)]
    assert [(12, 8, 12)] == played(steps, tolerance_ms=None, unmatched=True)


def test_of_versions_of_one_time_the_last_counts():
    steps = [(RIGHT, [(RIGHT, "a", 5, 1), (RIGHT, "a", 5, 2)]), (LEFT, [(LEFT, "a", 5, 3)])]
    run = Run(AsOfJoinSpec(key_of, key_of, AsOfJoin(0, unmatched=True)), BACKENDS["hashmap"])
    assert [(((LEFT, "a", 5, 3), (RIGHT, "a", 5, 2)), 5)] == run.play(steps)


def test_late_records_are_counted():
    run = Run(AsOfJoinSpec(key_of, key_of, AsOfJoin(0, unmatched=True)), BACKENDS["hashmap"])
    assert [] == run.play([("watermark", 10), left(10), right(9), right(8)])
    assert (1, 2) == (run.facts["late_left"], run.facts["late_right"])
