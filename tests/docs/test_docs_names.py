"""Every public name has a docstring, and stands on the page of all names."""

import inspect
import re
from pathlib import Path

import actorflow as af
from actorflow import testing

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
CODE = re.findall(r"`([^`]+)`", PAGE)
SHOWN = {word for code in CODE for word in re.findall(r"\w+", code)}
BEHIND = {
    "Job": af.Job,
    "KeyedStream": af.KeyedStream,
    "LocalCluster": af.LocalCluster,
    "OperatorActor": af.OperatorActor,
    "Pipeline": af.Pipeline,
    "Stream": af.Stream,
    "Trigger": af.Trigger,
    "Watermarks": af.Watermarks,
    "WindowAssigner": af.WindowAssigner,
    "WindowedStream": af.WindowedStream,
}
"""Classes whose methods are on the page, too."""


def methods(cls):
    return [name for name, value in inspect.getmembers(cls) if not name.startswith("_") and callable(value)]


NAMES = [
    *((f"af.{name}", getattr(af, name)) for name in af.__all__),
    *(
        (f"af.{module}.{name}", getattr(getattr(af, module), name))
        for module in ("evictors", "sinks", "sources", "triggers", "windows")
        for name in getattr(af, module).__all__
    ),
    *((f"af.{cls}.{name}", getattr(BEHIND[cls], name)) for cls in BEHIND for name in methods(BEHIND[cls])),
    *((f"actorflow.testing.{name}", getattr(testing, name)) for name in testing.__all__),
]


def test_every_public_name_is_on_the_page_of_all_names():
    assert [] == [name for name, _ in NAMES if name.rpartition(".")[2] not in SHOWN], "add them to docs/api.md"


def test_every_public_name_has_a_docstring():
    assert [] == [name for name, value in NAMES if not inspect.getdoc(value)]


def test_the_page_shows_no_name_that_is_not_there():
    given = [code.partition("(")[0].split(".")[1] for code in CODE if code.startswith("af.")]
    assert [] == [name for name in given if name not in af.__all__]
