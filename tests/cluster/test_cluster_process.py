import signal

import pytest

from actorflow.cluster.process import describe_exit, thread_count


@pytest.mark.parametrize(
    ("exit_code", "signal_number", "words"),
    [
        (0, None, "exited normally"),
        (3, None, "exited with code 3"),
        (None, signal.SIGKILL, "was killed by SIGKILL (was it the kernel's out-of-memory killer?)"),
        (None, signal.SIGTERM, "was killed by SIGTERM"),
        (None, signal.SIGSEGV, "crashed with SIGSEGV (a bad memory access in native code)"),
        (None, signal.SIGABRT, "crashed with SIGABRT (an abort in native code)"),
        (None, 40, "was killed by signal 40"),
    ],
)
def test_an_exit_is_described_by_its_code_or_signal(exit_code, signal_number, words):
    assert describe_exit(exit_code, signal_number) == words


def test_threads_of_native_libraries_count(tmp_path):
    import threading

    before = thread_count()
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    try:
        assert thread_count() == before + 1
    finally:
        release.set()
        thread.join()
