"""Who leads a cluster, and what outlives a leader. START with `contract.py`.

contract.py      what everybody relies on              opening.py     which implementation a configuration asks for
single.py        one JobManager, found by its address  remembered.py  stores in memory

    coordination = open_coordination(config)
    coordination.retrieval.watch(lambda leader: task_manager.tell_control(LeaderChanged(leader)))
"""

from actorflow.coordination.contract import (
    CheckpointPointer,
    CheckpointPointers,
    Coordination,
    JobResult,
    JobResultStore,
    JobStore,
    LeaderElection,
    LeaderRetrieval,
    StoredJobs,
)
from actorflow.coordination.opening import open_coordination
from actorflow.coordination.single import leader_node
from actorflow.protocol.nodes.leader import Leader

__all__ = [
    "CheckpointPointer",
    "CheckpointPointers",
    "Coordination",
    "JobResult",
    "JobResultStore",
    "JobStore",
    "Leader",
    "LeaderElection",
    "LeaderRetrieval",
    "StoredJobs",
    "leader_node",
    "open_coordination",
]
