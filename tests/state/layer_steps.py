"""Steps of a subtask and its coordinator (see `layer_world`) that Hypothesis draws."""

from hypothesis import strategies as st

KEYS = st.integers(0, 7)


CHANGES = st.one_of(
    st.tuples(st.just("count"), KEYS),
    st.tuples(st.just("load"), KEYS),
    st.tuples(st.just("pane"), KEYS, st.integers(0, 2)),
    st.tuples(st.just("drop"), st.sampled_from(["panes", "bags"]), st.integers(0, 2)),
    st.tuples(st.just("bag"), KEYS, st.integers(0, 2)),
    st.tuples(
        st.just("use"),
        KEYS,
        st.sampled_from(["value", "in place", "forget", "put", "remove", "append", "clear"]),
        st.integers(0, 3),
    ),
    st.tuples(st.just("timer"), st.sampled_from(["set", "delete", "take"]), KEYS, st.integers(0, 5)),
)
OUTCOMES = st.lists(
    st.tuples(st.sampled_from(["completed", "completed", "heard later", "aborted", "unheard"]), st.booleans()), max_size=2
)
THEN = st.sampled_from(
    [
        (),
        (),
        ("merge",),
        ("merge", "restart"),
        ("restart",),
        ("hear",),
        ("hear late",),
        ("savepoint",),
        ("savepoint", "store savepoint"),
        ("store savepoint", "merge"),
    ]
)
ROUNDS = st.lists(st.tuples(st.lists(CHANGES, max_size=6), OUTCOMES, THEN), min_size=3, max_size=12)
COUNTS = st.lists(
    st.tuples(st.lists(st.tuples(st.just("count"), st.integers(0, 15)), max_size=30), OUTCOMES, THEN), min_size=3, max_size=12
)


def steps_of(rounds):
    """Give changes, a snapshot, what became of it or of others, and maybe a merge or a restart, again and again."""
    for changes, outcomes, then in rounds:
        yield from changes
        yield ("snapshot",)
        yield from (("settle", *outcome) for outcome in outcomes)
        yield from ((step,) if not step.startswith("hear") else ("hear", step == "hear") for step in then)
