"""How an error is shown: with its class if that is not actorflow's own, wherever in actorflow the class stands."""

from actorflow.errors import describe
from actorflow.operators.failures import user_failure
from actorflow.wire.stable_hash import UnstableKey


def test_an_error_of_the_user_or_a_library_is_shown_with_its_class():
    assert "ValueError: bad record" == str(describe(ValueError("bad record")))
    assert "KeyError: 'word'" == str(user_failure(KeyError("word"), operator="count", subtask="count/0").info())


def test_an_error_of_actorflow_speaks_for_itself_in_whatever_module_it_is_defined():
    error = UnstableKey("list")
    assert str(error) == str(describe(error))
    assert str(error).startswith("a key of type 'list' has no stable hash")
