"""Starts a JobManager's actors on a node: with a Dispatcher that outlives its leadership, where there are several JobManagers, and any other where not."""

from __future__ import annotations

from actorflow.actor import ActorRef, ActorSystem
from actorflow.config import Config, options
from actorflow.ids import ActorPath
from actorflow.protocol.jobs.job_board import JobWaits, Memory
from actorflow.protocol.nodes.leader import DISPATCHER_PATH, RESOURCE_MANAGER_PATH
from actorflow.protocol.nodes.slot_messages import SlotsAwaited
from actorflow.runtime.blobs.server import BlobServer
from actorflow.runtime.jobs.durable_dispatcher import DurableDispatcher
from actorflow.runtime.jobs.durable_jobs import DurableJobs
from actorflow.runtime.jobs.job_manager import Dispatcher, Learn, is_known
from actorflow.runtime.jobs.resource_manager import Driving, spawn_resource_manager


def spawn_job_manager(
    system: ActorSystem,
    config: Config,
    *,
    message_bytes_max: int = 1 << 30,
    learn: Learn = is_known,
    epoch: int = 1,
    jobs: DurableJobs | None = None,
    driving: Driving | None = None,
    blobs: BlobServer | None = None,
) -> tuple[ActorRef, ActorRef]:
    """Start ResourceManager and Dispatcher on a node; return their refs in this order.

    Args:
        system: the node's actors.
        config: the node's options.
        message_bytes_max: the largest control message that the node can send.
        learn: see `Learn`.
        epoch: of the leadership on whose behalf they act.
        jobs: where the Dispatcher writes down what the next leader needs, if there can be one. It waits for an `Inheritance`.
        driving: what starts TaskManagers, if anything does.
        blobs: has the files and the code of jobs, if they do not all travel in messages.

    Raises:
        ConfigError: if the options leave the driver no room.
    """
    dispatcher_path, resource_manager_path = in_epoch(DISPATCHER_PATH, epoch), in_epoch(RESOURCE_MANAGER_PATH, epoch)

    def awaited(report: SlotsAwaited) -> None:
        system.resolve(dispatcher_path).tell_control(JobWaits(report.job, report.error))

    resource_manager = spawn_resource_manager(system, config, resource_manager_path, epoch=epoch, awaited=awaited, driving=driving)
    name, memory = dispatcher_path[1:], Memory(config[options.RESULTS_MAX], config[options.RESULTS_EXPIRE])
    if jobs is None:
        arguments = resource_manager, message_bytes_max, learn, memory, blobs
        return resource_manager, system.spawn(Dispatcher, *arguments, name=name)
    durably = resource_manager, message_bytes_max, learn, memory, jobs, blobs
    return resource_manager, system.spawn(DurableDispatcher, *durably, name=name)


def in_epoch(path: ActorPath, epoch: int) -> ActorPath:
    """Return the path of an actor of this epoch: what was meant for an earlier one does not reach it."""
    return path if epoch == 1 else ActorPath(f"{path}-{epoch}")
