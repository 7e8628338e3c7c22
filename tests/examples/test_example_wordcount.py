"""The word count example: its parts, and the whole of it on slot processes against a plain count."""

import collections
import pickle
from collections import Counter
from pathlib import Path

import pytest

from actorflow.examples.wordcount import LatestCounts, build, main, standard_library, words
from actorflow.wire.batch import ObjectBatch


class Caller:
    """Stands for the subtask: remembers what its writer sends to the caller."""

    def __init__(self):
        self.sent = []

    def send_result(self, payload):
        self.sent += pickle.loads(payload)


def test_words_are_runs_of_letters_in_lower_case():
    assert words("The whale, the WHALE! 42 times; don't_stop") == ["the", "whale", "the", "whale", "times", "don", "t", "stop"]


def test_the_sink_sends_the_last_count_of_each_word_at_the_end_only():
    caller = Caller()
    writer = LatestCounts().open(caller)
    writer.write(ObjectBatch([("whale", 1), ("sea", 1), ("whale", 2)]))
    writer.flush()
    writer.write(ObjectBatch([("whale", 3)]))
    assert caller.sent == []
    writer.close()
    assert sorted(caller.sent) == [("sea", 1), ("whale", 3)]


def test_the_default_input_is_the_interpreters_own_library_and_no_installed_package():
    files = standard_library()
    assert Path(collections.__file__) in files
    assert [file for file in files if "site-packages" in file.parts] == []


def test_the_pipeline_reads_keys_and_counts(tmp_path):
    (tmp_path / "book.txt").write_text("call me ishmael\n")
    plan = build(tmp_path / "book.txt").explain(parallelism=2)
    assert [verb for verb in ("words", "count", "hash") if verb in plan] == ["words", "count", "hash"]


@pytest.mark.slow
def test_the_counts_of_two_slots_are_those_of_a_plain_loop(tmp_path, capsys):
    lines = [f"the {'whale ' * (number % 7)}and number {number}\n" for number in range(500)]
    (tmp_path / "a.txt").write_text("".join(lines[:200]))
    (tmp_path / "b.txt").write_text("".join(lines[200:]))
    main([tmp_path], slots=2, top=4)
    expected = Counter(word for line in lines for word in words(line))
    ranking = sorted(expected.items(), key=lambda item: (-item[1], item[0]))[:4]
    printed = capsys.readouterr().out.splitlines()
    assert [f"{count:>12,}  {word}" for word, count in ranking] == printed[:4]
    assert printed[5].startswith(f"{sum(expected.values()):,} words ({len(expected):,} different) in 2 files")
