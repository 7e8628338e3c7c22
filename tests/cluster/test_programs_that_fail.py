"""Windows, timers and joins that fail at random points, again and again, on either backend: they commit what an undisturbed run commits."""

import random

import pytest
from planned_failures import AT_ONCE, CHECKPOINTS, POINTS_OF_SINKS, FailingSink, Planned
from test_checkpoints_in_time import PROGRAMS
from visible_output import lines_left

import actorflow as af
from actorflow.connectors.file_formats import TextFormat
from actorflow.storage.files import as_uri
from actorflow.testing import TestSource, run_test

IN_ORDER = ("timers", "applied")
"""Programs whose results tell in which order records have come."""


def source(partitions, failures):
    """Partitions that go at different speeds; each fails at some places, in one attempt after the other."""
    parts = []
    for part in range(partitions):
        scripted = TestSource()
        for number in range(40):
            scripted = scripted.at(100 * number, ("abc"[number % 3], 2 * number + part))
            if number > 3:
                scripted = scripted.watermark(100 * number - 200)
            scripted = scripted.advance("300ms" if part else "500ms")
            if (part, number) in failures:
                scripted = scripted.abort(attempts=1 + failures.index((part, number)))
        parts.append(scripted)
    return TestSource.partitions(*parts)


def written(name, directory, planned, failures, *, parallelism, backend, seed):
    """Return the lines that a run has committed, and its number of attempts."""
    pipeline = af.Pipeline("program", config={"state.backend.type": backend})
    PROGRAMS[name](pipeline.read(source(1 if name in IN_ORDER else 2, failures))).map(str).write(
        FailingSink(as_uri(directory), TextFormat(), planned=planned)
    )
    run = run_test(pipeline, config=CHECKPOINTS | AT_ONCE, parallelism=parallelism, seed=seed)
    return lines_left(directory), run.attempts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "seeds"),
    [("hashmap", range(3)), ("rocksdb", range(2))],
    ids=["hashmap", "rocksdb"],
)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_fails_at_random_points_commits_what_an_undisturbed_one_commits(tmp_path, name, backend, seeds):
    none = Planned((), str(tmp_path / "none"))
    undisturbed, once = written(name, tmp_path / "undisturbed", none, (), parallelism=1, backend=backend, seed=0)
    assert once == 1
    for seed in seeds:
        draw = random.Random(f"{name} {backend} {seed}")
        planned = Planned(
            tuple((draw.choice(POINTS_OF_SINKS), draw.randint(1, 3)) for _ in range(3)), str(tmp_path / f"marks-{seed}")
        )
        failures = tuple(sorted((draw.randrange(2), draw.randrange(4, 40)) for _ in range(3)))
        directory = tmp_path / str(seed)
        found, attempts = written(
            name, directory, planned, failures, parallelism=draw.choice((1, 2, 3)), backend=backend, seed=seed
        )
        assert undisturbed == found, f"seed {seed}: {planned.plan} {failures}"
        assert attempts > 2
