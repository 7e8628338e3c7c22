"""What holds for all tests: how long an example takes says how busy the machine is, not whether the code is right."""

import gc

import pytest
from hypothesis import settings
from zookeeper_server import ZooKeeperServer, missing

settings.register_profile("actorflow", deadline=None)
settings.load_profile("actorflow")


def pytest_collection_finish():
    """Look for garbage only among what tests make: thousands of collected tests and their modules live on to the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def zookeeper_server(tmp_path_factory):
    """Give the server that all tests share."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    server = ZooKeeperServer(tmp_path_factory.mktemp("zookeeper"))
    yield server
    server.kill()


@pytest.fixture
def zookeeper(zookeeper_server):
    """Give the server, running."""
    return zookeeper_server.start()
