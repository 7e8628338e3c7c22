"""What tests of coordination share: what was called back, and leaders to publish."""

import queue

from actorflow.coordination import Leader
from actorflow.ids import NodeId, address

PATIENCE_S = 20.0


class Heard:
    """What an election or a retrieval has called back, in order."""

    def __init__(self):
        self._queue = queue.Queue()

    def granted(self, epoch):
        self._queue.put(("granted", epoch))

    def revoked(self):
        self._queue.put("revoked")

    def changed(self, leader):
        self._queue.put(leader)

    def next(self, timeout_s=PATIENCE_S):
        return self._queue.get(timeout=timeout_s)

    def nothing(self):
        return self._queue.empty()


def leader_of(epoch, name="jm-1", port=6123):
    node = NodeId(name)
    return Leader(node, epoch, (f"tcp://127.0.0.1:{port}",), address(node, "/job-manager"), address(node, "/resource-manager"))
