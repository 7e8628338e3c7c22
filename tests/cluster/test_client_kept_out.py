"""What a client is told that a cluster does not let in: that, and not that nobody answers."""

import pytest

import actorflow as af
from actorflow.cli.keys import make_keys
from actorflow.cluster.node import Node
from actorflow.config import Config
from actorflow.errors import TransportError
from actorflow.ids import NodeId


@pytest.mark.slow
def test_a_client_without_the_key_of_the_cluster_is_told_so(tmp_path):
    make_keys(tmp_path / "keys")
    keyed = Config.of({"actorflow.security.curve.key-file": str(tmp_path / "keys" / "node.key")}, "test")
    node = Node(NodeId("demo-jobmanager"), keyed, tmp_path, ["tcp://127.0.0.1:0"])
    try:
        [endpoint] = node.endpoint.endpoints
        place = endpoint.partition("#")[0].removeprefix("tcp://")
        strangers = {"cluster.id": "demo", "jobmanager.hosts": [place], "env.pid.dir": str(tmp_path)}
        with pytest.raises(TransportError, match=r"does not let us in .*security\.curve\.key-file"):
            af.connect(strangers, timeout="2s")
    finally:
        node.system.shutdown(timeout_s=5.0)
        node.endpoint.close()
