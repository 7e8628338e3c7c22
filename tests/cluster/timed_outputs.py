"""What programs give that put numbers into sliding windows of a second and sessions, and set a timer for each half a second later."""

from collections import Counter


def expected_of_timed(records, keys):
    """Return what they give: the number of a record is its key by remainder, and ten times it is its event time."""
    expected = [["timer", number % keys, number * 10 + 500] for number in range(records)]
    windows = Counter()
    for number in range(records):
        start = number * 10 // 250 * 250
        while start > number * 10 - 1000:
            windows[number % keys, start] += 1
            start -= 250
    expected += [["window", key, start, count] for (key, start), count in windows.items()]
    expected += [["session", number % 500, number * 10, 1] for number in range(records)]
    return sorted(expected)
