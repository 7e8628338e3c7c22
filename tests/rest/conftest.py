import pytest
from rest_harness import served


@pytest.fixture(scope="module")
def rest():
    """A server that answers, on a cluster with one job."""
    with served() as served_:
        yield served_
