"""State that outlives its types: what one version of a class wrote, the next reads as a naive programmer would expect, or refuses by field."""

import json

import pytest
from evolving_types import TYPES, broken, build, evolved, values
from few_and_many import at_length
from hypothesis import strategies as st

from actorflow.errors import IncompatibleState, SerializationError
from actorflow.state.schema import Incompatible, Migratable, Same, StateSchema, compatibility, schema_of
from actorflow.wire.state_codec import codec_for
from actorflow.wire.state_migration import Migration


def written(schema):
    """Return a schema as a later job finds it in a manifest."""
    return StateSchema.from_data(json.loads(json.dumps(schema.to_data())))


def shown(value):
    return type(value), repr(value)


def check_evolution(spec, draw):
    old_classes, new_classes = {}, {}
    new_spec, convert = evolved(draw, spec)
    old_type, new_type = build(spec, old_classes), build(new_spec, new_classes)
    old, new = written(schema_of(old_type)), schema_of(new_type)
    verdict = compatibility(old, new)
    assert not isinstance(verdict, Incompatible), verdict.reasons
    codec = codec_for(new_type)
    migration = Migration(old.value, codec, "a value")
    assert migration.changes == (verdict.changes if isinstance(verdict, Migratable) else ())
    found = [draw(values(spec, old_classes)) for _ in range(2)]
    items = codec_for(old_type).encode_many(found)
    expected = [shown(convert(value, new_classes)) for value in found]
    assert expected == [shown(migration.decode(data)) for data in items]
    assert expected == [shown(value) for value in migration.decode_many(items)]
    assert expected == [shown(codec.decode(migration.rewrite(data))) for data in items]
    if isinstance(verdict, Same):
        assert expected == [shown(codec.decode(data)) for data in items]


def check_refusal(spec, draw):
    new_spec, path = broken(draw, spec)
    old_type, new_type = build(spec, {}), build(new_spec, {})
    verdict = compatibility(written(schema_of(old_type)), schema_of(new_type))
    assert isinstance(verdict, Incompatible), (old_type, new_type)
    assert path in [reason.path for reason in verdict.reasons]
    with pytest.raises(IncompatibleState, match=r"^cannot restore state 'visits': ") as refused:
        Migration(schema_of(old_type).value, codec_for(new_type), "state 'visits'")
    assert (path or "the value") in refused.value.message


def check_damage(spec, draw):
    old_classes = {}
    new_spec, _ = evolved(draw, spec)
    old_type, new_type = build(spec, old_classes), build(new_spec, {})
    codec = codec_for(new_type)
    migration = Migration(schema_of(old_type).value, codec, "a value")
    data = bytearray(codec_for(old_type).encode(draw(values(spec, old_classes))))
    for _ in range(draw(st.integers(1, 3))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    try:
        found = migration.decode(bytes(data))
    except SerializationError:
        return
    assert shown(found) == shown(codec.decode(codec.encode(found)))


@at_length(TYPES, st.data(), few=80)
def test_the_next_version_of_a_type_reads_what_the_last_one_wrote(spec, data):
    check_evolution(spec, data.draw)


@at_length(TYPES, st.data(), few=80)
def test_a_version_that_cannot_read_is_refused_with_the_path_of_the_field(spec, data):
    check_refusal(spec, data.draw)


@at_length(TYPES, st.data(), few=60)
def test_damaged_bytes_of_an_old_version_are_refused_or_are_a_value_of_the_new_type(spec, data):
    check_damage(spec, data.draw)
