"""Byte ranges and lines: every line once, whatever the ranges, blocks and positions; compared with a naive oracle."""

import dataclasses
import itertools
from pathlib import Path

import pytest
from connector_harness import drain, next_batch
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.connectors.file_splits import FileRange
from actorflow.connectors.lines import LineBlocks, LineFormat, TextDecoder, line_offset
from actorflow.connectors.text_files import LineReader

CONTENT = st.lists(st.sampled_from(["\n", "\r\n", "\r", "a", "bc", "é", "€", "😀", "\u2028", "\x0b"]), max_size=40).map("".join)


def lines_of(data: bytes) -> list[str]:
    *whole, last = data.split(b"\n")
    lines = [line.removesuffix(b"\r") for line in whole] + ([last] if last else [])
    return [line.decode() for line in lines]


def reader_of(uri, start, end, position=None, block_bytes=4):
    return LineReader(FileRange(uri, start, end), position, LineFormat(block_bytes=block_bytes))


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return str(tmp_path_factory.mktemp("ranges") / "file.txt")


@settings(max_examples=150, deadline=None)
@given(text=CONTENT, cuts=st.lists(st.integers(0, 120), max_size=5), block_bytes=st.integers(1, 20), records_max=st.integers(1, 5))
def test_ranges_that_cover_a_file_give_each_line_once_and_in_order(uri, text, cuts, block_bytes, records_max):
    data = text.encode()
    Path(uri).write_bytes(data)
    bounds = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    found = []
    for start, end in itertools.pairwise(bounds):
        found += drain(reader_of(uri, start, end, block_bytes=block_bytes), records_max)
    assert lines_of(data) == found


@settings(max_examples=150, deadline=None)
@given(
    text=CONTENT,
    one=st.integers(0, 60),
    other=st.integers(0, 60),
    block_bytes=st.integers(1, 12),
    other_block_bytes=st.integers(1, 12),
    records_max=st.integers(1, 4),
)
def test_from_every_position_another_reader_gives_the_rest(uri, text, one, other, block_bytes, other_block_bytes, records_max):
    data = text.encode()
    Path(uri).write_bytes(data)
    start, end = sorted((min(one, len(data)), min(other, len(data))))
    whole = drain(reader_of(uri, start, end, block_bytes=block_bytes))
    reader = reader_of(uri, start, end, block_bytes=block_bytes)
    given_so_far = []
    while True:
        rest = drain(reader_of(uri, start, end, reader.position, other_block_bytes))
        assert whole == given_so_far + rest
        batch = next_batch(reader, records_max)
        if batch is None:
            break
        given_so_far += batch.records
    reader.close()
    assert whole == given_so_far


@given(CONTENT, st.lists(st.integers(1, 9), min_size=1, max_size=60))
def test_blocks_hold_whole_lines_and_all_bytes_however_the_bytes_come(text, sizes):
    data = text.encode()
    blocks = LineBlocks("x", 0, line_bytes_max=10_000)
    out, at = [], 0
    for size in sizes:
        if data[at : at + size]:
            before = blocks.at
            block = blocks.feed(data[at : at + size])
            assert blocks.at == before + len(block)
            out.append(block)
        at += size
    out.append(blocks.feed(data[at:]))
    assert all(block.endswith(b"\n") for block in out if block)
    out.append(blocks.finish())
    assert data == b"".join(out)


def test_a_block_knows_where_its_lines_start():
    assert [0, 2, 3, 5] == [line_offset(b"a\n\nbc", index) for index in range(4)]


def test_a_byte_order_mark_is_dropped_at_the_start_of_the_file_only():
    decoder = TextDecoder("x", LineFormat("utf-8-sig"))
    assert ["a"] == decoder.lines(b"\xef\xbb\xbfa\n", 0)
    assert ["\ufeffa"] == decoder.lines(b"\xef\xbb\xbfa\n", 7)


def test_carriage_returns_stay_where_a_format_wants_them():
    how = dataclasses.replace(LineFormat(), keeps_returns=True)
    assert ["a\r", "b"] == TextDecoder("x", how).lines(b"a\r\nb\n", 0)
