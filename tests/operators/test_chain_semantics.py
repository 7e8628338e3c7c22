"""Compiled chains against a naive interpreter: random operators, batch splits, timestamps, and outputs at random positions."""

from chain_harness import Collected, Subtask, operators, port
from hypothesis import given, settings
from hypothesis import strategies as st
from random_chains import chains, compare

from actorflow.operators.chain import compile_chain
from actorflow.operators.specs import CountSpec
from actorflow.wire.batch import ObjectBatch


@settings(max_examples=300, deadline=None)
@given(chains())
def test_a_compiled_chain_gives_what_a_naive_interpreter_gives(drawn):
    compare(drawn, Subtask())


@given(st.lists(st.sampled_from("abc")), st.integers(1, 4))
def test_state_lives_on_from_batch_to_batch(words, size):
    output = Collected()
    chain = compile_chain(operators(CountSpec(lambda word: word)), [port(output, 0)], Subtask())
    for start in range(0, len(words), size):
        chain.process(ObjectBatch(words[start : start + size]))
    assert [(word, words[: place + 1].count(word)) for place, word in enumerate(words)] == output.records
    assert {"count": words.count("a")} == (chain.state("count-0", "a") or {"count": 0})
