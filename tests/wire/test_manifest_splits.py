"""How far a source had been read, as the parts of its subtasks say it together."""

from actorflow.wire.manifest import InlineState, SubtaskState, splits_of


def part(index, positions, read=()):
    return SubtaskState(index, InlineState(b""), positions=positions, read=read)


def test_who_has_taken_up_a_split_knows_better_than_who_was_told_of_it_at_the_restore():
    told = part(0, {1: b"told", 2: b"told", 3: b"told"}, (0,))
    assert ({1: b"told", 2: b"at 5"}, (0, 3, 4)) == splits_of([told, part(1, {2: b"at 5"}, (3, 4))])


def test_a_source_without_parts_has_not_been_read():
    assert ({}, ()) == splits_of([])
