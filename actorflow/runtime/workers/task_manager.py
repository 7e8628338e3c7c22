"""The TaskManager's actor: the shell of `protocol.nodes.task_manager.TaskManagerMachine`.

How a slot's worker comes to life (a process from the fork server, or an actor in this process) is the launcher's business; the TaskManager
only sees a child that is there, and how it ended.
"""

from __future__ import annotations

from collections.abc import Callable

from actorflow.actor import ActorContext, ActorRef, ActorSystem, MachineActor
from actorflow.config import Config, options
from actorflow.ids import Address, JobId
from actorflow.protocol.blobs.fetching import NeedBlobs
from actorflow.protocol.nodes.slot_messages import JobReleased
from actorflow.protocol.nodes.task_manager import NotRegistered, Register, TaskManagerMachine, WorkerRecipe

Launch = Callable[[ActorContext, str, WorkerRecipe], ActorRef]
"""Makes the child actor that stands for one slot worker: `(context of the TaskManager, child's name, recipe)`."""


def spawn_task_manager(
    system: ActorSystem,
    resource_manager: Address | None,
    launch: Launch,
    *,
    name: str,
    slots: int,
    config: Config,
    on_job_over: Callable[[JobId], None] = lambda _: None,
    on_unregistered: Callable[[float], None] = lambda _: None,
    on_blobs_needed: Callable[[NeedBlobs], None] = lambda _: None,
) -> ActorRef:
    """Start a TaskManager on a node.

    Args:
        system: the node's actors.
        resource_manager: gets its slots; None: that of each leader it is told of.
        launch: starts its workers.
        name: its own.
        slots: how many it has.
        config: the node's options.
        on_job_over: told of each job that is over: what it has kept on this host can go.
        on_unregistered: told when nobody has wanted its slots for as long as the options allow, in seconds.
        on_blobs_needed: told which blobs a job needs; the TaskManager is to be told when they are here.
    """
    memory_bytes = config[options.TASKMANAGER_MEMORY]
    machine = TaskManagerMachine(
        Address(f"{system.node}/{name}"),
        resource_manager,
        slots=slots,
        start_timeout_s=config[options.WORKER_START_TIMEOUT],
        offer_every_s=config[options.SLOT_OFFER_INTERVAL],
        worker_bytes_max=memory_bytes // slots if memory_bytes is not None else None,
        registration_timeout_s=config[options.REGISTRATION_TIMEOUT],
        keep_files_s=config[options.BLOB_CLEANUP_INTERVAL],
    )

    def spawn(context: ActorContext, child: str, recipe: object) -> ActorRef:
        assert isinstance(recipe, WorkerRecipe), "a TaskManager's children are workers"
        return launch(context, child, recipe)

    def tell(report: object) -> None:
        match report:
            case JobReleased(job=job):
                on_job_over(job)
            case NeedBlobs():
                on_blobs_needed(report)
            case NotRegistered(for_s):
                on_unregistered(for_s)
            case _:
                raise AssertionError(f"a TaskManager does not report {report!r}")

    task_manager = system.spawn(MachineActor, machine, spawn=spawn, on_report=tell, name=name)
    task_manager.tell_control(Register())
    return task_manager
