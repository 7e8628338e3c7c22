"""What holds for all tests: how long an example takes says how busy the machine is, not whether the code is right."""

import gc

import pytest
from hypothesis import settings
from zookeeper_server import ZooKeeperServer, missing

settings.register_profile("whole", deadline=None)
settings.register_profile("fast", deadline=None, max_examples=40)


def pytest_configure(config):
    """Try fewer examples where only the fast tests run: the whole suite tries the usual number in the same ones."""
    settings.load_profile("fast" if config.option.markexpr == "not slow" else "whole")


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
