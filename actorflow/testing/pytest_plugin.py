"""The pytest plugin: a fixture that runs pipelines in virtual time, by a seed from the command line.

    def test_late_clicks_are_counted(run_in_virtual_time):
        assert run_in_virtual_time(late_clicks(TestSource().at("00:01:00", "click"))).records == [...]

`pytest --actorflow-seed=random` tries another order of the same events each time; the report of a test that failed shows the seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from actorflow.testing.run import TestRun

_SEEDS = 1 << 32


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the seed."""
    parser.getgroup("actorflow").addoption(
        "--actorflow-seed",
        type=_seed,
        default=0,
        metavar="SEED",
        help="of the order in which things happen at one point of virtual time: a number, or 'random'",
    )


@pytest.fixture
def run_in_virtual_time(request: pytest.FixtureRequest) -> Callable[..., TestRun]:
    """`actorflow.testing.run_test`, by the seed of the command line unless the test gives one."""
    from actorflow.testing.run import run_test

    def run(pipeline: Any, **options: Any) -> TestRun:
        options.setdefault("seed", request.config.getoption("--actorflow-seed"))
        request.node.add_report_section("call", "actorflow", f"--actorflow-seed={options['seed']}")
        return run_test(pipeline, **options)

    return run


def _seed(text: str) -> int:
    return random.randrange(_SEEDS) if text == "random" else int(text)
