import pytest

INLINE, PROCESSES = "inline", pytest.mark.slow


@pytest.fixture(params=["inline", pytest.param(1, marks=PROCESSES), pytest.param(2, marks=PROCESSES)])
def slots(request):
    """Where a pipeline runs: in this thread, in one process, in two."""
    return request.param


@pytest.fixture(params=["inline", pytest.param(2, marks=PROCESSES)])
def two_slots(request):
    """The same, for pipelines with two subtasks of an operator."""
    return request.param
