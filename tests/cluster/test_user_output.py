"""What user functions print is seen, though workers are killed at their end and the output may be a pipe."""

import pytest
from script_harness import run_script, running


def test_what_a_function_prints_is_all_there(slots, tmp_path):
    script = """
    def show(n):
        print(f"record {n}")
        return n

    print("RESULT", sorted(af.collect(numbers(4).map(show), slots=SLOTS)))
    """
    ended = run_script(script, tmp_path, slots)
    expected = [*(f"record {n}" for n in range(4)), "RESULT [0, 1, 2, 3]"]
    assert (0, expected) == (ended.code, sorted(ended.out.splitlines(), key=expected.index))


@pytest.mark.slow
def test_a_line_is_seen_while_the_function_still_works(tmp_path):
    script = """
    def stuck(n):
        print("begun")
        while True:
            time.sleep(60)

    af.collect(numbers(1).map(stuck), slots=1)
    """
    with running(script, tmp_path, 1) as endless:
        assert "begun" == endless.line()
