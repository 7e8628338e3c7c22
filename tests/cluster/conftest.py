import pytest


@pytest.fixture(params=["inline", pytest.param(2, marks=pytest.mark.slow)])
def slots(request):
    """Where a pipeline runs: in this thread, or in two processes."""
    return request.param
