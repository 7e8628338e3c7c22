"""User code: what is installed goes by name, what the user wrote goes with its code, and the culprit is named."""

import functools
import subprocess
import sys
import textwrap
import threading
from pathlib import PurePath

import pytest

from actorflow.errors import SerializationError
from actorflow.wire.user_code import dumps_code, find_unpicklable, loads_code

LOCK = threading.Lock()


def test_a_closure_comes_back_working():
    def adder(n):
        return lambda x: x + n

    assert 5 == loads_code(dumps_code(adder(2)))(3)


def test_installed_code_travels_by_name():
    assert len(dumps_code(PurePath)) < 80
    assert PurePath is loads_code(dumps_code(PurePath))
    assert dumps_code is loads_code(dumps_code(dumps_code))


def test_a_module_beside_the_script_travels_with_its_code(tmp_path):
    (tmp_path / "words.py").write_text("SUFFIX = '!'\ndef shout(word):\n    return word.upper() + SUFFIX\n")
    (tmp_path / "job.py").write_text(
        textwrap.dedent("""
        import sys, words
        from actorflow.wire.user_code import dumps_code
        class Local:
            def greet(self): return words.shout("hi")
        sys.stdout.buffer.write(dumps_code((Local(), words.shout)))
        """)
    )
    data = subprocess.run([sys.executable, "job.py"], cwd=tmp_path, capture_output=True, check=True).stdout
    local, shout = loads_code(data)
    assert "HI!" == local.greet()
    assert "WHALE!" == shout("whale")
    assert "words" not in sys.modules


def test_what_cannot_be_loaded_is_an_error_with_the_missing_package():
    data = dumps_code(PurePath).replace(b"pathlib", b"pathlab")
    with pytest.raises(SerializationError, match="install 'pathlab' on every node"):
        loads_code(data)


def test_unpicklable_code_is_refused():
    with pytest.raises(SerializationError, match="cannot serialise 'lock'"):
        dumps_code(LOCK)


class Operator:
    def __init__(self, client):
        self.name = "op"
        self.client = client

    def work(self, x):
        return x


class Slotted:
    __slots__ = ("inner",)

    def __init__(self, inner):
        self.inner = inner


def closing_over(lock):
    return lambda x: (lock, x)


def reading_a_global(x):
    return [LOCK for _ in range(x)]


def with_default(x, lock=LOCK):
    return x, lock


@pytest.mark.parametrize(
    ("culprit", "path"),
    [
        (closing_over(LOCK), ".__closure__['lock']"),
        (closing_over({"a": [1, LOCK]}), ".__closure__['lock']['a'][1]"),
        (reading_a_global, ".__globals__['LOCK']"),
        (with_default, ".__defaults__[0]"),
        (Operator(LOCK), ".client"),
        (Operator(LOCK).work, ".__self__.client"),
        (Operator(Slotted(LOCK)), ".client.inner"),
        (functools.partial(with_default.__class__, LOCK), ".args[0]"),
        (functools.partial(max, key=closing_over(LOCK)), ".keywords['key'].__closure__['lock']"),
        (LOCK, ""),
    ],
)
def test_the_attribute_path_of_the_culprit_is_named(culprit, path):
    found = find_unpicklable(culprit, "map.fn")
    assert found is not None
    assert "map.fn" + path == found[0]
    assert "lock" in str(found[1])


def test_a_picklable_function_has_no_culprit():
    assert find_unpicklable(closing_over(3), "map.fn") is None
