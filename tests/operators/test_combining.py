"""Combining before sorting: what a combiner gives, merged, is what the aggregation makes of the records."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.errors import UserFunctionError
from actorflow.operators.columnar.conversion import to_columns
from actorflow.operators.compiled.combining import Combiner, combines, merging
from actorflow.operators.specs import CountSpec, MaxSpec, MinSpec, ReduceSpec, SumSpec
from actorflow.wire.batch import ObjectBatch


def key(record):
    return record["key"]


def value(record):
    return record["n"]


SPECS = {
    "count": (CountSpec(key), len),
    "count by column": (CountSpec("key"), len),
    "sum": (SumSpec(key, value), sum),
    "sum by column": (SumSpec("key", "n"), sum),
    "min": (MinSpec("key", value), min),
    "min by column": (MinSpec("key", "n"), min),
    "max": (MaxSpec(key, value), max),
    "max by column": (MaxSpec("key", "n"), max),
}

some_rows = st.lists(st.fixed_dictionaries({"key": st.sampled_from("abc"), "n": st.integers(-5, 5)}), min_size=1, max_size=6)
some_batches = st.lists(st.tuples(some_rows, st.booleans(), st.none() | st.integers(-9, 9)), max_size=5)


@pytest.mark.parametrize("name", SPECS)
def test_merged_pairs_are_the_results(name):
    spec, of_values = SPECS[name]

    @given(some_batches, st.sets(st.integers(0, 4)), st.integers(1, 3))
    def check(batches, emptied_after, at_once):
        combiner = Combiner("it", spec, subtask="it[0]")
        merge = merging(spec)
        pairs, values, latest = [], {}, {}
        for number, (rows, in_columns, first_time) in enumerate(batches):
            times = None if first_time is None else [first_time - place for place in range(len(rows))]
            batch = ObjectBatch(list(rows), times)
            combiner.add(to_columns(batch) if in_columns else batch)
            for place, row in enumerate(rows):
                values.setdefault(row["key"], []).append(row["n"])
                if times is not None:
                    latest[row["key"]] = max(latest.get(row["key"], times[place]), times[place])
            if number in emptied_after:
                pairs += combiner.take(at_once)
        pairs += combiner.take(at_once)
        found, stamps = {}, {}
        for batch in pairs:
            assert 0 < len(batch) <= at_once
            for place, pair in enumerate(batch.records):
                found.setdefault(merge.key(pair), []).append(merge.value(pair))
                if batch.timestamps is not None:
                    stamps[pair[0]] = max(stamps.get(pair[0], batch.timestamps[place]), batch.timestamps[place])
        again = sum if isinstance(merge, SumSpec) else of_values
        assert {name: of_values(each) for name, each in values.items()} == {name: again(each) for name, each in found.items()}
        assert latest == stamps
        assert 0 == combiner.held_bytes

    check()


def test_columns_need_no_objects_until_they_are_taken():
    combiner = Combiner("it", SumSpec("key", "n"), subtask="it[0]")
    combiner.add(to_columns(ObjectBatch([{"key": f"key {n}", "n": n} for n in range(10_000)])))
    assert {} == combiner._values._entries
    assert 10_000 * 100 < combiner.held_bytes < 10_000 * 400
    assert sorted((f"key {n}", n) for n in range(10_000)) == sorted(pair for batch in combiner.take(500) for pair in batch.records)


def test_large_keys_count_as_large():
    combiner = Combiner("it", CountSpec(lambda record: record), subtask="it[0]")
    combiner.add(ObjectBatch([f"{n}" * 10_000 for n in range(10)]))
    assert combiner.held_bytes > 10 * 10_000


def test_a_failure_names_operator_and_record():
    combiner = Combiner("ratio", SumSpec(key, lambda record: 1 / record["n"]), subtask="ratio[0]")
    with pytest.raises(UserFunctionError) as raised:
        combiner.add(ObjectBatch([{"key": "a", "n": 0}]))
    assert ("ratio", "'a'") == (raised.value.error.context["operator"], raised.value.error.context["key"])


def test_only_what_does_not_care_for_order_is_combined():
    assert not combines(ReduceSpec(key, max))
    assert combines(CountSpec(key))
