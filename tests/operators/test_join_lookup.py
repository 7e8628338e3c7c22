"""Look-ups with a memory: what is asked how often, and who gets which answer."""

import asyncio
import pickle

import pytest

from actorflow.operators.joins.lookup import CachedLookup, was_found


class Service:
    """Answers when the test says; remembers what it was asked."""

    def __init__(self):
        self.asked = []
        self.answers = {}

    async def __call__(self, key):
        self.asked.append(key)
        answer = self.answers.setdefault(key, asyncio.get_running_loop().create_future())
        return await answer

    def answer(self, key, value):
        self.answers.setdefault(key, asyncio.get_running_loop().create_future()).set_result(value)


class At(asyncio.SelectorEventLoop):
    """A loop whose clock the test sets."""

    now_s = 0.0

    def time(self):
        return self.now_s


def played(script):
    """Run a coroutine function of the test, which is given the loop."""
    loop = At()
    try:
        return loop.run_until_complete(script(loop))
    finally:
        loop.close()


async def upper(key):
    return key.upper() if key != "?" else None


def first(record):
    return record[0]


def counted(look_up):
    asked = []

    async def ask(key):
        asked.append(key)
        return await look_up(key)

    return ask, asked


def test_a_record_comes_with_what_was_found_and_a_key_is_asked_for_once():
    ask, asked = counted(upper)
    lookup = CachedLookup(ask, first, 10, None)

    async def script(_):
        return [await lookup(record) for record in (("a", 1), ("b", 2), ("a", 3), ("?", 4), ("?", 5))]

    found = played(script)
    assert [(("a", 1), "A"), (("b", 2), "B"), (("a", 3), "A"), (("?", 4), None), (("?", 5), None)] == found
    assert ["a", "b", "?"] == asked
    assert [True, True, True, False, False] == list(map(was_found, found))


def test_the_keys_used_last_are_remembered():
    ask, asked = counted(upper)
    lookup = CachedLookup(ask, first, 2, None)

    async def script(_):
        for key in "abacab":
            await lookup(key)

    played(script)
    assert list("abcb") == asked


def test_an_answer_is_remembered_for_its_time():
    ask, asked = counted(upper)
    lookup = CachedLookup(ask, first, 10, 5.0)

    async def script(loop):
        for now in (0.0, 4.999, 5.0, 9.0, 10.0):
            loop.now_s = now
            await lookup("a")

    played(script)
    assert 3 == len(asked)


def test_without_room_every_record_asks_unless_its_key_is_being_asked_for():
    service = Service()
    lookup = CachedLookup(service, first, 0, None)

    async def script(_):
        waiting = [asyncio.ensure_future(lookup(("a", number))) for number in range(3)]
        await asyncio.sleep(0)
        service.answer("a", "A")
        answers = await asyncio.gather(*waiting)
        await lookup("a")
        return answers

    assert [(("a", number), "A") for number in range(3)] == played(script)
    assert ["a", "a"] == service.asked


def test_who_gives_up_does_not_take_the_answer_from_others():
    service = Service()
    lookup = CachedLookup(service, first, 10, None)

    async def script(_):
        hasty, patient = asyncio.ensure_future(lookup("a")), asyncio.ensure_future(lookup("a"))
        await asyncio.sleep(0)
        hasty.cancel()
        await asyncio.sleep(0)
        service.answer("a", "A")
        return hasty.cancelled() or await asyncio.wait([hasty]), await patient

    gave_up, answered = played(script)
    assert gave_up
    assert ("a", "A") == answered
    assert ["a"] == service.asked


def test_a_failure_is_for_all_who_wait_and_is_not_remembered():
    attempts = []

    async def flaky(key):
        attempts.append(key)
        await asyncio.sleep(0)
        if len(attempts) == 1:
            raise ConnectionError("down")
        return "A"

    lookup = CachedLookup(flaky, first, 10, None)

    async def script(_):
        failed = await asyncio.gather(lookup("a"), lookup("a"), return_exceptions=True)
        return failed, await lookup("a")

    failed, answered = played(script)
    assert [ConnectionError, ConnectionError] == list(map(type, failed))
    assert ("a", "A") == answered


def test_it_travels_without_what_was_found():
    lookup = CachedLookup(upper, first, 10, 3.0)

    async def script(_):
        await lookup("a")

    played(script)
    copy = pickle.loads(pickle.dumps(lookup))
    assert (upper, first, 10, 3.0) == (copy.look_up, copy.key, copy._size, copy._ttl_s)
    assert not copy._found


@pytest.mark.parametrize("key", [[1], {}])
def test_a_key_that_cannot_be_hashed_fails(key):
    lookup = CachedLookup(upper, lambda record: record, 10, None)

    async def script(_):
        await lookup(key)

    with pytest.raises(TypeError, match="unhashable"):
        played(script)
