"""Fixtures of the transport's tests."""

import tempfile

import pytest
import zmq
from transport_nodes import Nodes


@pytest.fixture
def nodes():
    with tempfile.TemporaryDirectory(prefix="af-") as folder:
        made = Nodes(folder)
        yield made
        made.close()


@pytest.fixture
def zmq_context():
    context = zmq.Context()
    yield context
    context.destroy(linger=0)
