"""Partition files: each reader gets what was added for it, in order; what is cut off, missing or changed by a bit is named and never read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.errors import PartitionLost, SpillError
from actorflow.storage.partition_file import PartitionReader, PartitionWriter
from actorflow.wire.frame import Kind, pack

LIMIT = 1 << 20


def written(path, payloads, readers=3, memory_bytes=1 << 20):
    """Write payloads for readers, in this order."""
    writer = PartitionWriter(path, readers, "the output of 'sort'", memory_bytes)
    sequence = [0] * readers
    for reader, payload in payloads:
        sequence[reader] += 1
        writer.add(reader, pack(Kind.DATA, payload, channel=reader, sequence=sequence[reader]))
    writer.finish()
    return path


def read(path, reader):
    return [bytes(frame.payload) for frame in PartitionReader(path, reader, "sort/0", LIMIT)]


PAYLOADS = st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=200)), max_size=30)


@given(PAYLOADS, st.sampled_from((1, 150, 1000, 1 << 20)))
def test_every_reader_gets_its_own_in_order_whatever_memory_there_was(tmp_path_factory, payloads, memory_bytes):
    path = written(tmp_path_factory.mktemp("p") / "1-0-0.0", payloads, memory_bytes=memory_bytes)
    for reader in range(3):
        assert [payload for to, payload in payloads if to == reader] == read(path, reader)
    assert [path] == list(path.parent.iterdir())


SOME = [(0, b"one" * 20), (1, b"two" * 30), (0, b"three" * 10), (2, b"")]


def outcomes(path):
    """What each reader reads, or that it does not."""
    found = []
    for reader in range(3):
        try:
            found.append(read(path, reader))
        except PartitionLost:
            found.append("lost")
    return found


@given(st.data())
@settings(max_examples=200)
def test_a_bit_that_is_flipped_anywhere_is_noticed_by_who_reads_there(tmp_path_factory, data):
    path = written(tmp_path_factory.mktemp("p") / "file", SOME, memory_bytes=100)
    whole, content = outcomes(path), bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    damaged = outcomes(path)
    assert "lost" in damaged
    assert all(got in ("lost", expected) for got, expected in zip(damaged, whole, strict=True))


@given(st.data())
def test_a_file_that_is_cut_off_or_has_lost_a_piece_is_noticed(tmp_path_factory, data):
    path = written(tmp_path_factory.mktemp("p") / "file", SOME, memory_bytes=100)
    whole, content = outcomes(path), path.read_bytes()
    start = data.draw(st.integers(0, len(content) - 1))
    end = data.draw(st.sampled_from((len(content), min(len(content), start + 1))))
    path.write_bytes(content[:start] + content[end:])
    damaged = outcomes(path)
    assert "lost" in damaged
    assert all(got in ("lost", expected) for got, expected in zip(damaged, whole, strict=True))


def test_a_file_that_is_gone_names_who_has_written_it(tmp_path):
    with pytest.raises(PartitionLost, match=r"cannot read what sort/0 has written to .*: No such file") as caught:
        read(tmp_path / "nothing", 0)
    assert {"partition": "sort/0"} == caught.value.info().context


def test_a_file_has_its_name_only_when_it_is_whole_and_nothing_is_left_of_one_that_is_given_up(tmp_path):
    writer = PartitionWriter(tmp_path / "file", 1, "the output of 'sort'", memory_bytes=1)
    writer.add(0, pack(Kind.DATA, b"something", sequence=1))
    assert ["file.inprogress"] == [path.name for path in tmp_path.iterdir()]
    writer.close()
    assert [] == list(tmp_path.iterdir())


def test_one_that_is_whole_stays_when_it_is_closed(tmp_path):
    path = tmp_path / "file"
    writer = PartitionWriter(path, 1, "the output of 'sort'")
    writer.finish()
    writer.close()
    assert [] == read(path, 0)
    assert 0o600 == path.stat().st_mode & 0o777


def test_what_cannot_be_written_is_told_with_the_directory(tmp_path):
    (tmp_path / "taken").write_text("")
    writer = PartitionWriter(tmp_path / "taken" / "file", 1, "the output of 'sort'")
    with pytest.raises(SpillError, match=r"cannot write the output of 'sort' in '.*taken'"):
        writer.finish()
