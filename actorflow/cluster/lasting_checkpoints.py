"""What a job's options have to be where leaders follow each other: checkpoints outlive the one that has taken them.

checkpoints in files          the next leader goes on from them
checkpoints in no directory   the JobManager's memory ends with it: they go below `high-availability.storageDir`
"""

from __future__ import annotations

from typing import Final

from actorflow.config import Config, merged, options
from actorflow.storage.files import as_uri, join

_ORIGIN: Final = "high availability"


def with_lasting_checkpoints(config: Config) -> Config:
    """Return the options of a job with where its checkpoints go where leaders follow each other.

    Args:
        config: its options as they were given.
    """
    storage = config[options.HA_STORAGE]
    if config[options.HA_TYPE] == "none" or storage is None or config[options.CHECKPOINT_DIRECTORY] is not None:
        return config
    cluster = config[options.HA_CLUSTER_ID] or config[options.CLUSTER_ID]
    return merged(config, Config.of({options.CHECKPOINT_DIRECTORY.name: join(as_uri(storage), f"{cluster}/checkpoints")}, _ORIGIN))
