"""Durations and sizes."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.config.values import duration_ms, duration_s, memory_bytes, show_bytes, show_duration
from actorflow.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("5s", 5.0),
        ("200ms", 0.2),
        ("10min", 600.0),
        ("1h", 3600.0),
        ("2d", 172800.0),
        ("50us", 5e-5),
        ("1h30min", 5400.0),
        (" 1 h 30 min ", 5400.0),
        ("0.5 S", 0.5),
        ("250", 0.25),
        (250, 0.25),
        (0.5, 0.0005),
        (0, 0.0),
        (timedelta(minutes=2), 120.0),
    ],
)
def test_a_duration_is_read_as_people_write_it(written, seconds):
    assert pytest.approx(seconds, rel=1e-12) == duration_s(written)


def test_two_ways_to_write_a_duration_give_the_same_number():
    assert duration_s("90min") == duration_s("1h30min")


@pytest.mark.parametrize(
    "written",
    ["", "5 m", "s", "5s s", "-5s", "5,5s", "1e3s", "five", None, True, [5], -1, float("nan"), float("inf"), timedelta(seconds=-1)],
)
def test_what_is_no_duration_is_refused_with_the_name_of_what_it_is_for(written):
    with pytest.raises(ConfigError) as caught:
        duration_s(written, "heartbeat.interval")
    assert "heartbeat.interval" in caught.value.message
    assert repr(written) in caught.value.message
    assert caught.value.hint


def test_milliseconds_are_whole():
    assert [5000, 200, 3_600_000, 7] == [duration_ms("5s"), duration_ms("200ms"), duration_ms("1h"), duration_ms(7)]
    assert isinstance(duration_ms("5s"), int)
    with pytest.raises(ConfigError, match="whole number of milliseconds"):
        duration_ms("1500us")


@given(st.integers(0, 10**15))
def test_every_whole_number_of_milliseconds_is_read_exactly(milliseconds):
    assert milliseconds == duration_ms(milliseconds) == duration_ms(f"{milliseconds}ms")


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("32kb", 32768),
        ("64 MB", 64 << 20),
        ("1gb", 1 << 30),
        ("2tb", 2 << 40),
        ("512b", 512),
        ("512", 512),
        (512, 512),
        ("1.5kb", 1536),
        (0, 0),
    ],
)
def test_a_size_is_read_as_people_write_it(written, size):
    assert size == memory_bytes(written)


@pytest.mark.parametrize("written", ["", "kb", "32 kib", "-1kb", "1.0001kb", None, True, 1.5, -1, [1]])
def test_what_is_no_size_is_refused_with_the_name_of_what_it_is_for(written):
    with pytest.raises(ConfigError) as caught:
        memory_bytes(written, "actorflow.transport.frame-bytes-max")
    assert "actorflow.transport.frame-bytes-max" in caught.value.message
    assert caught.value.hint


@given(st.integers(0, 1 << 50))
def test_a_shown_size_reads_back(size):
    assert size == memory_bytes(show_bytes(size))


@given(st.integers(0, 10**12))
def test_a_shown_duration_reads_back_to_six_digits(milliseconds):
    assert pytest.approx(milliseconds / 1000, rel=1e-5) == duration_s(show_duration(milliseconds / 1000))


def test_a_long_value_is_shortened_in_the_error():
    with pytest.raises(ConfigError) as caught:
        duration_s("x" * 10_000)
    assert len(caught.value.message) < 200
