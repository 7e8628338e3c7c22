"""Workers that are busy with user code for longer than `heartbeat.timeout` are not lost."""

import signal
import subprocess
import sys
import time

import pytest

import actorflow as af


def sleep_at(n):
    if n == 40:
        time.sleep(3)  # the user's work, not a wait of the test
    return n


@pytest.mark.slow
def test_a_function_that_takes_longer_than_the_heartbeat_timeout_fails_nothing():
    pipeline = af.Pipeline("busy")
    numbers = pipeline.read(af.sources.collection(range(200))).rebalance().map(sleep_at)
    config = {"heartbeat.interval": "200ms", "heartbeat.timeout": "600ms"}
    assert sorted(range(200)) == sorted(af.collect(numbers, slots=2, config=config))


CLIENT = """
import time
import actorflow as af

def note(n):
    with open({notes!r}, "a") as file:
        file.write(".")
    time.sleep(0.02)
    return n

if __name__ == "__main__":
    numbers = af.Pipeline("stopped").read(af.sources.collection(range(300))).rebalance().map(note)
    print(len(af.collect(numbers, slots=2, config={{"heartbeat.interval": "100ms", "heartbeat.timeout": "300ms"}})))
"""


@pytest.mark.slow
def test_workers_outlive_a_client_that_is_stopped_for_a_while(tmp_path):
    script, notes = tmp_path / "client.py", tmp_path / "notes"
    script.write_text(CLIENT.format(notes=str(notes)))
    notes.touch()

    def wait_for(count):
        deadline = time.monotonic() + 20
        while len(notes.read_text()) < count:
            assert time.monotonic() < deadline, "the workers do not go on"
            time.sleep(0.01)

    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as client:
        try:
            wait_for(20)
            client.send_signal(signal.SIGSTOP)
            wait_for(170)  # two workers need 1.5 s for these
            client.send_signal(signal.SIGCONT)
            assert "300\n" == client.communicate(timeout=20)[0]
        finally:
            client.kill()
