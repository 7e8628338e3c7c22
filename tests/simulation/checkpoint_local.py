"""Local recovery in a simulated job: real copies of parts on disks of hosts that lose files, tear them, and bring back others' content."""

import pickle
import posixpath
from pathlib import Path

from checkpoint_world import NODES

from actorflow.storage.local_copies import LocalCopies, StateReader
from actorflow.wire.manifest import StoredFile, checksum


class Local:
    """What keeps copies, and what reads them."""

    copies, reader = LocalCopies, StateReader


class NoHosts:
    """Nobody keeps copies: parts are read from where they are."""

    sufferings = 0

    def __init__(self, world):
        self.world = world

    def launch(self, _, part):
        return None if part is None else self.world.parts[part]

    def stored(self, *_):
        pass


class Hosts:
    """The disks of the hosts of one job.

    Args:
        directory: for all of them.
        world: where parts really are.
        random: decides what goes wrong.
        local: what keeps and reads copies.

    Attributes:
        read: how many bytes were read from copies, and how many were not.
    """

    sufferings = 30

    def __init__(self, directory, world, random, local=Local):
        self.directory, self.world, self.random, self.local = directory, world, random, local
        self.copies, self.files = {}, {}
        self.read = [0, 0]

    def host_of(self, subtask):
        return Path(self.directory, NODES[subtask])

    def launch(self, subtask, part):
        """Return what a subtask goes on from; None at its beginning."""
        restored = [] if part is None else [self.files[part]]
        self.copies[subtask] = self.local.copies(self.host_of(subtask), str(subtask), restored)
        if part is None:
            return None
        reader = self.local.reader(
            self.host_of(subtask), lambda file: pickle.dumps(self.world.parts[posixpath.basename(file.uri).encode()])
        )
        state = pickle.loads(reader(self.files[part]))
        self.read = [self.read[0] + reader.local_bytes, self.read[1] + reader.remote_bytes]
        return state

    def stored(self, subtask, checkpoint, part):
        """Keep a copy of what was stored."""
        data = pickle.dumps(self.world.parts[part])
        file = self.files[part] = StoredFile(f"/remote/{part.decode()}", len(data), checksum(data))
        self.copies[subtask].write(file, data)
        self.copies[subtask].stored(checkpoint, [file])

    def suffer(self):
        """Something happens to a file: it is gone, torn, or holds what another one did, of another checkpoint or another run."""
        files = sorted(path for path in Path(self.directory).rglob("*") if path.is_file())
        if not files:
            return
        file = self.random.choice(files)
        match self.random.randrange(3):
            case 0:
                file.unlink()
            case 1:
                file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
            case _:
                file.write_bytes(self.random.choice(files).read_bytes())


# --- planted bugs ---------------------------------------------------------------------------------------------------------------


class BelievesTheName(StateReader):
    """Takes a copy for what was written because it is called so."""

    def _copy_of(self, file):
        found = [home / posixpath.basename(file.uri) for home in sorted(self._directory.iterdir())]
        return next((path.read_bytes() for path in found if path.is_file()), None)


class BelievesTheNewest(StateReader):
    """Takes a copy of another checkpoint, or of a run that has failed, because it is newer than the one that is meant."""

    def _copy_of(self, file):
        for home in sorted(self._directory.iterdir()):
            copies = sorted(home.iterdir(), key=lambda path: int(path.name.rpartition("-")[2]))
            if posixpath.basename(file.uri) in [path.name for path in copies]:
                return copies[-1].read_bytes()
        return None


class KeepsAll(LocalCopies):
    def _remove(self, names):
        pass


class BelievingNames(Local):
    reader = BelievesTheName


class BelievingTheNewest(Local):
    copies, reader = KeepsAll, BelievesTheNewest


LOCALS = [BelievingNames, BelievingTheNewest]
