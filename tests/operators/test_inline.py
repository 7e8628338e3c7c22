"""Inlining: what is inlined means the same, and what might not be is left alone."""

import functools
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorflow.operators.compiled.inline import inlined

LIMIT = 3


def two_lines(x):
    print(x)
    return x + 1


def default(x, n=2):
    return x


def documented(x):
    """Add one."""
    return x + 1


def over_lines(x):
    return (
        x
        + 1
    )  # fmt: skip


def generator(x):
    yield x


async def coroutine(x):
    return x


def closing_over(n):
    return lambda x: x + n


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x, "v"),
        (lambda x: x * 3 + 1, "((v * 3) + 1)"),
        (lambda x: x % 2 == 0, "((v % 2) == 0)"),
        (lambda x: not x, "(not v)"),
        (lambda x: -x[0][1:2], "(-v[0][1:2])"),
        (lambda x: (x, 1), "(v, 1)"),
        (lambda x: (x["a"],), "(v['a'],)"),
        (lambda x: [x, {"k": x}], "[v, {'k': v}]"),
        (lambda x: x.name.lower(), "v.name.lower()"),
        (lambda x: x.split(",", 1), "v.split(',', 1)"),
        (lambda x: x not in ("a", -1), "(v not in ('a', (-1)))"),
        (lambda x: "{}", "'{}'"),
        (documented, "(v + 1)"),
    ],
)
def test_simple_functions_become_expressions(function, expected):
    assert expected == inlined(function).text("v")


@pytest.mark.parametrize(
    "function",
    [
        len,
        str.split,
        functools.partial(default, n=3),
        two_lines,
        over_lines,
        default,
        generator,
        coroutine,
        closing_over(1),
        lambda x: x + LIMIT,
        lambda x: len(x) + 1,
        lambda x: x or 1,
        lambda x: 1 if x else 2,
        lambda x: f"{x}",
        lambda x: x is None,
        lambda x: [y + 1 for y in x],
        lambda x: lambda: x,
        lambda *x: x,
        lambda **x: x,
        lambda x, *, y=1: x,
        lambda x: x in {1, 2},
        lambda x: x(1),
        lambda x: x.f(k=1),
        lambda x: (y := x) + y,
        lambda x: 1 < x < 3,
        lambda x: 1 << 70,
        lambda x: ...,
    ],
)
def test_everything_else_stays_a_call(function):
    assert inlined(function) is None


def test_functions_of_two_arguments_keep_their_order():
    assert "(a - b)" == inlined(lambda x, y: x - y, 2).text("a", "b")
    assert "(a - b)" == inlined(lambda y, x: y - x, 2).text("a", "b")
    assert inlined(lambda x, y: x - y, 1) is None


def test_nothing_is_inlined_under_a_tracer():
    before = sys.gettrace()
    sys.settrace(lambda *_: None)
    try:
        assert inlined(lambda x: x + 1) is None
    finally:
        sys.settrace(before)


def leaf():
    return st.sampled_from(["x", "x", "1", "-2", "True", "1.5", "-0.0", "'a{b}'", "(1, 'z')", "None", "b'q'", "'\\x00'"])


def combined(inner):
    binary = st.sampled_from(["+", "-", "*", "%", "//", "<<", "&", "==", "!=", "<", ">=", "in", "not in", "and", "is", "@"])
    return st.one_of(
        st.builds("({} {} {})".format, inner, binary, inner),
        st.builds("({}({}))".format, st.sampled_from(["-", "not ", "~", "+", "len"]), inner),
        st.builds("({}, {})".format, inner, inner),
        st.builds("[{}]".format, inner),
        st.builds("{{{}: {}}}".format, inner, inner),
        st.builds("({})[{}]".format, inner, inner),
        st.builds("({})[{}:{}]".format, inner, inner, inner),
        st.builds("({}).real".format, inner),
        st.builds("({}).count({})".format, inner, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
    )


def outcome(call):
    try:
        result = call()
        return type(result), repr(result)
    except Exception as error:
        return type(error), str(error)


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@settings(max_examples=500, deadline=None)
@given(st.recursive(leaf(), combined, max_leaves=6), st.sampled_from([0, 3, -1.5, "abc", (1, 2), [3], {"a": 1}, None, True]))
def test_an_inlined_expression_gives_what_the_function_gives(source, value):
    function = eval(f"lambda x: {source}")
    simple = inlined(function)
    if simple is not None:
        assert outcome(lambda: function(value)) == outcome(lambda: eval(simple.text("v"), {"__builtins__": {}}, {"v": value}))
