"""Every option of actorflow, declared once: name, kind, default, and what it is for.

Names are Flink's where Flink has the thing; what only actorflow has is under `actorflow.`. An option is read as
`config[options.HEARTBEAT_TIMEOUT]`, whichever module here declares it, and has the type of its default. Durations are seconds, sizes are
bytes. `docs/configuration.md` is generated from these declarations (`scripts/reference`).

pipeline.py      parallelism, chaining, watermarks      workers.py      slots and worker processes
network.py       batches, buffers between subtasks      state.py        backends, local disks
checkpoints.py   when, how, where, how long             savepoints.py   where they go, which one a job starts from
failures.py      restarts, heartbeats                   nodes.py        actors, transport, keys
logs.py          what is logged, and where to           coordination.py which cluster, and its leader
processes.py     where TaskManagers listen, run directories
resources.py     who starts TaskManagers, and where jobs go
scheduling.py    how wide jobs run
"""

from __future__ import annotations

from actorflow.config.option import Option
from actorflow.config.options.checkpoints import *  # noqa: F403 - each module declares options, all under this one name
from actorflow.config.options.coordination import *  # noqa: F403
from actorflow.config.options.failures import *  # noqa: F403
from actorflow.config.options.logs import *  # noqa: F403
from actorflow.config.options.network import *  # noqa: F403
from actorflow.config.options.nodes import *  # noqa: F403
from actorflow.config.options.pipeline import *  # noqa: F403
from actorflow.config.options.processes import *  # noqa: F403
from actorflow.config.options.resources import *  # noqa: F403
from actorflow.config.options.rest import *  # noqa: F403
from actorflow.config.options.savepoints import *  # noqa: F403
from actorflow.config.options.scheduling import *  # noqa: F403
from actorflow.config.options.state import *  # noqa: F403
from actorflow.config.options.workers import *  # noqa: F403

ALL: tuple[Option[object], ...] = tuple(value for value in list(globals().values()) if isinstance(value, Option))
"""All options, subject by subject."""

BY_NAME = {option.name: option for option in ALL}
"""All options, by name."""
