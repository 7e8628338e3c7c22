"""What readers see in the directory of a file sink: names with a leading dot are not theirs. And what a job must write that counts by key."""

import json
from pathlib import Path


def lines_of(directory):
    """Return the committed lines, file by file."""
    visible = [path for path in sorted(Path(directory).glob("*")) if not path.name.startswith(".")]
    return [line for path in visible for line in path.read_text().splitlines()]


def lines_left(directory):
    """Return the committed lines, sorted, where nothing else may be left."""
    assert [] == [path.name for path in Path(directory).glob(".*")]
    return sorted(lines_of(directory))


def committed(directory):
    """Return the committed records of a sink of JSON lines."""
    return [json.loads(line) for line in lines_of(directory)]


def running_counts(records, keys):
    """Return the pairs that a job gives that counts the first natural numbers by their remainder."""
    return sorted([number % keys, number // keys + 1] for number in range(records))
