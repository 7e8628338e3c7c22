"""Values as plain data: everything has a form, JSON can hold it, and views come back from it."""

import enum
import json
from collections import OrderedDict, deque
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorflow.errors import FrameRefused
from actorflow.ids import SubtaskId, VertexId
from actorflow.protocol.jobs.job_messages import JobProgressed, JobStatus
from actorflow.wire.plain_form import as_text, plain_form, typed

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
values = st.recursive(
    scalars | st.sampled_from(JobStatus) | st.builds(SubtaskId, st.text().map(VertexId), st.integers(0, 9)),
    lambda inner: st.lists(inner) | st.dictionaries(scalars, inner) | st.tuples(inner, inner) | st.frozensets(scalars),
    max_leaves=20,
)


@given(values)
def test_the_plain_form_of_anything_is_json_and_its_own_plain_form(value):
    plain = plain_form(value)

    assert plain_form(json.loads(json.dumps(plain))) == plain


@dataclass(frozen=True)
class Seat:
    row: int
    taken_by: tuple[str, ...]


class Colour(enum.IntEnum):
    RED = 3


def test_each_kind_has_its_form():
    job = JobProgressed("job", 1, 2, 3)
    given = {SubtaskId("v", 1): job, Colour.RED: deque([Colour.RED]), 2**70: b"abc", "seats": OrderedDict(a=Seat(1, ("x",)))}

    assert plain_form(given) == {
        "v/1": {"job": "job", "attempt": 1, "records_in": 2, "records_out": 3},
        "3": [3],
        str(2**70): "<3 bytes>",
        "seats": {"a": {"row": 1, "taken_by": ["x"]}},
    }


def test_views_come_back():
    seats = (Seat(1, ("x", "y")), Seat(2, ()))

    assert typed(plain_form(seats), tuple[Seat, ...]) == seats
    with pytest.raises(FrameRefused, match="Seat"):
        typed({"row": "one"}, Seat)


def test_what_never_ends_is_cut():
    endless: list[object] = []
    endless.append(endless)

    assert "[[...]]" in json.dumps(plain_form(endless))


def test_a_repr_that_raises_is_told():
    class Shy:
        def __repr__(self):
            raise RuntimeError

    assert plain_form(Shy()) == "<Shy, whose __repr__ raised RuntimeError>"
    assert as_text("x" * 1000).endswith("... (1,002 characters)")
