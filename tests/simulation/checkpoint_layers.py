"""Incremental state in a simulated job: counts by key as a base and deltas. What a snapshot builds upon, the real `LayerLine` decides."""

from dataclasses import replace

from actorflow.runtime.checkpoints.layer_line import LayerLine
from actorflow.wire.manifest import StoredFile


class LayeredCounts:
    """The counts of one subtask, and what has changed in them since the last snapshot that later ones build upon.

    Args:
        world: keeps layers, by name.
        attempt: of which run.
        random: decides which small layers stand in their part.
        line: makes what decides.
    """

    def __init__(self, world, attempt, random, line=LayerLine):
        self.world, self.attempt, self.random = world, attempt, random
        self.counts = {}
        self.changed = set()
        self.unconfirmed = []  # checkpoints with the keys that had changed since the one before
        self.line = line(self.confirm, self.decline)

    def add(self, key):
        """Count one more; return how many there are."""
        self.counts[key] = self.counts.get(key, 0) + 1
        self.changed.add(key)
        return self.counts[key]

    # --- snapshots ------------------------------------------------------------------------------------------------------

    def take(self, checkpoint):
        below = self.line.begin(checkpoint)
        layers = below.layers
        self.unconfirmed.append((checkpoint, self.changed))
        self.changed = set()
        since = self.counts if not layers else set().union(*(keys for _, keys in self.unconfirmed))
        content = {key: self.counts[key] for key in since}
        kept = [file.uri for file in below.beside]
        names = [file.uri for file in layers]
        base = below.base if layers else 1
        part = {"base": base, "kept": kept, "oldest": below.oldest, "counts": dict(self.counts)}
        if layers and self.random.random() < 0.2:
            self.line.stored(checkpoint, ())
            return part | {"layers": names, "top": content}
        own = self.write(content)
        self.line.stored(checkpoint, (own,))
        return part | {"layers": [*names, own.uri], "top": {}}

    def write(self, content):
        name = self.world.write_layer(content, self.attempt)
        return self.file(name)

    def file(self, name):
        return StoredFile(name, len(self.world.layers[name]) + 1, "")

    def restore(self, part):
        """Go on from a part, and build upon its layers."""
        for name in part["layers"]:
            self.counts |= self.world.layers[name]
        self.counts |= part["top"]
        if part["layers"] and not part["top"]:
            self.line.resume(tuple(map(self.file, part["layers"])), part["base"])

    # --- news -----------------------------------------------------------------------------------------------------------

    def completed(self, checkpoint):
        self.line.completed(checkpoint)
        sources = self.line.due()
        if sources:
            merged = {}
            for source in sources:
                if source.uri not in self.world.layers:
                    return  # it went with an older checkpoint: what merges cannot read it either
                merged |= self.world.layers[source.uri]
            file = self.write(merged)
            if not self.line.merged(sources, file):
                del self.world.layers[file.uri]

    def confirm(self, checkpoint):
        self.unconfirmed = [(number, keys) for number, keys in self.unconfirmed if number > checkpoint]

    def decline(self, checkpoint):
        """What had changed for this one is captured with the next."""
        for place, (number, keys) in enumerate(self.unconfirmed):
            if number == checkpoint:
                del self.unconfirmed[place]
                later = self.unconfirmed[place][1] if place < len(self.unconfirmed) else self.changed
                later |= keys
                return


# --- planted bugs ---------------------------------------------------------------------------------------------------------------


class LosesADelta(LayerLine):
    """The next one is put upon the layers below it."""

    def begin(self, checkpoint, *, afresh=False):
        below = super().begin(checkpoint, afresh=afresh)
        return replace(below, layers=below.layers[:-1]) if len(below.layers) > below.base else below


class TakesAGivenUpDeltaForStored(LayerLine):
    def given_up(self, checkpoint):
        decline, self._decline = self._decline, self._confirm
        super().given_up(checkpoint)
        self._decline = decline


class SaysThatItHasHeardOfAllCheckpoints(LayerLine):
    def begin(self, checkpoint, *, afresh=False):
        return replace(super().begin(checkpoint, afresh=afresh), oldest=checkpoint)


class ForgetsWhoElseNeedsAMergedLayer(LayerLine):
    def begin(self, checkpoint, *, afresh=False):
        below = super().begin(checkpoint, afresh=afresh)
        return replace(below, kept=())


LINES = [LosesADelta, TakesAGivenUpDeltaForStored, SaysThatItHasHeardOfAllCheckpoints, ForgetsWhoElseNeedsAMergedLayer]
