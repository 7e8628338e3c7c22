"""What the subtasks of a worker share for checkpoints: where their parts are stored, who is told, and the rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from actorflow.config import options
from actorflow.errors import CheckpointError
from actorflow.ids import SubtaskId
from actorflow.runtime.checkpoints.input_barriers import AlignmentRules, alignment_rules
from actorflow.runtime.jobs.job_checkpoint_work import can_go_on, checkpoint_files, ends_by_itself
from actorflow.storage.checkpoint_files import CheckpointFiles
from actorflow.storage.file_merging import FileMerging
from actorflow.storage.uploads import FewAtOnce, UploadPace
from actorflow.wire.message import Message

if TYPE_CHECKING:
    from actorflow.plan.execution import ExecutionGraph
    from actorflow.runtime.workers.deployment import Deployment, Site


@dataclass(frozen=True, slots=True)
class CheckpointSite:
    """Where a worker's subtasks store their parts, and whom they tell.

    Attributes:
        files: writes state; None keeps it in the acknowledgement, for a JobManager that keeps checkpoints in its memory.
        submit: runs a function on the node's pool, in its turn.
        pace: waits until so many bytes may be written.
        tell: sends a message to the JobMaster; may be called from any thread.
        attempt: number of the run.
        inline_bytes_max: what is not larger stands in a part instead of a file.
        memory_bytes_max: the most state in a part, if there are no files.
        alignment: what barriers do.
        graph: what runs.
        payload_bytes_max: what a compressed payload may grow to.
        periodic: whether checkpoints are taken by themselves, so that prepared output waits for them.
        possible: whether savepoints can be taken, so that a subtask that has finished leaves its state.
        backup: where copies of state are kept on this host; None if they are not.
        from_local: where they are looked for; None if they are not.
        merging: what puts state of several subtasks into one file; None if each has its own.
        lasting: whether they may be taken much later, so that it leaves its state however large that is.
    """

    files: CheckpointFiles | None
    submit: Callable[[Callable[[], None]], None]
    pace: UploadPace
    tell: Callable[[Message], None]
    attempt: int
    inline_bytes_max: int
    memory_bytes_max: int
    alignment: AlignmentRules
    graph: ExecutionGraph
    payload_bytes_max: int
    periodic: bool
    possible: bool
    lasting: bool
    merging: FileMerging | None = None
    backup: Path | None = None
    from_local: Path | None = None

    def check_size(self, subtask: SubtaskId, part: bytes) -> None:
        """Refuse a part that is too large for the JobManager's memory.

        Raises:
            CheckpointError: if it has to go there.
        """
        if self.files is None and len(part) > self.memory_bytes_max:
            raise CheckpointError(
                f"the state of '{subtask}' has {len(part)} bytes; the JobManager's memory takes {self.memory_bytes_max}",
                hint="store checkpoints in files ('execution.checkpointing.dir'), or see 'execution.checkpointing.memory-size-max'",
            )


def checkpoint_site(deployment: Deployment, site: Site, tell: Callable[[Message], None]) -> CheckpointSite | None:
    """Return where the subtasks of a deployment store their parts; None in batch mode.

    Args:
        deployment: what is built.
        site: where.
        tell: see `CheckpointSite`.
    """
    config, graph = deployment.config, deployment.graph
    if graph.batch:
        return None
    possible = can_go_on(graph)
    periodic = possible and config[options.CHECKPOINT_INTERVAL] is not None
    pace = UploadPace(config[options.UPLOAD_RATE], site.system.clock)
    files = checkpoint_files(config, deployment.job, deployment.attempt, pace=pace) if periodic else None
    merged = files is not None and config[options.FILE_MERGING]
    return CheckpointSite(
        files=files,
        merging=files.merging(config[options.MERGED_FILE_SIZE]) if files is not None and merged else None,
        submit=FewAtOnce(site.system.submit_work, config[options.UPLOADS_AT_ONCE]),
        pace=pace,
        tell=tell,
        attempt=deployment.run,
        inline_bytes_max=config[options.CHECKPOINT_INLINE],
        memory_bytes_max=config[options.CHECKPOINT_MEMORY],
        alignment=alignment_rules(config),
        graph=graph,
        payload_bytes_max=config[options.FRAME_BYTES_MAX],
        periodic=periodic,
        possible=possible,
        lasting=periodic or not ends_by_itself(graph),
        backup=site.backup if config[options.LOCAL_BACKUP] else None,
        from_local=site.backup if config[options.RECOVERY_FROM_LOCAL] else None,
    )
