"""Pieces of sorted rows: all of them, in order, none too large, and complete exactly where keys end."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from actorflow.runtime.channels.key_pieces import KeyPieces, batches_of, lane_of
from actorflow.storage.sorted_rows import Rows


def rows_of(codes, lanes=0, times=None):
    return Rows(list(codes), list(range(len(codes))), times, lanes)


def pieces_of(codes, portion_sizes, records_max):
    rows, start, portions = rows_of(codes), 0, []
    for size in itertools.chain(portion_sizes, [len(codes) + 1]):
        portions.append(rows.cut(start, min(len(codes), start + size)))
        start += size
    waiting = [portion for portion in portions if len(portion)]
    pieces = KeyPieces(lambda: waiting.pop(0) if waiting else None, records_max)
    return list(iter(pieces.next, None))


@given(st.lists(st.sampled_from("abcde")), st.lists(st.integers(1, 5)), st.integers(1, 6))
def test_pieces_are_complete_exactly_where_the_next_record_has_another_key(letters, portion_sizes, records_max):
    codes = sorted(letters)
    pieces = pieces_of(codes, portion_sizes, records_max)
    assert list(range(len(codes))) == [record for rows, _ in pieces for record in rows.records]
    stop = 0
    for rows, complete in pieces:
        assert 0 < len(rows) <= records_max
        stop += len(rows)
        assert complete == (codes[stop : stop + 1] != [rows.codes[-1]])


@given(st.lists(st.sampled_from("abcde")), st.integers(1, 6))
def test_a_key_that_fits_into_a_piece_is_never_divided(letters, records_max):
    for rows, complete in pieces_of(sorted(letters), [], records_max):
        assert complete or letters.count(rows.codes[-1]) > records_max


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(-2, 2))))
def test_batches_keep_the_order_of_each_key_and_divide_ports_and_timed_from_untimed(records):
    ordered = sorted(records, key=lambda record: record[0])
    codes = [code for code, _, _ in ordered]
    rows = rows_of(codes, [lane for _, lane, _ in ordered], [time for _, _, time in ordered])
    given_out = {}
    for batch, port in batches_of(rows):
        assert len(batch) > 0
        assert batch.timestamps is None or len(batch.timestamps) == len(batch)
        for place, number in enumerate(batch.records):
            time = None if batch.timestamps is None else batch.timestamps[place]
            given_out.setdefault(codes[number], []).append((number, port, time))
    expected = {}
    for number, (code, lane, time) in enumerate(ordered):
        expected.setdefault(code, []).append((number, lane // 2, time if lane % 2 else None))
    assert expected == given_out


def test_records_of_one_lane_are_one_batch():
    [(batch, port)] = batches_of(rows_of("aabb", lanes=lane_of(1, timed=True), times=[1, 2, 3, 4]))
    assert ([0, 1, 2, 3], [1, 2, 3, 4], 1) == (batch.records, batch.timestamps, port)


def test_alternating_ports_of_many_keys_share_their_batches():
    codes = [code for code in "abcdefgh" for _ in range(4)]
    assert 4 == len(list(batches_of(rows_of(codes, lanes=[0, 2, 0, 2] * 8))))
