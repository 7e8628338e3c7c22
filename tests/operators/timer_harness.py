"""What tests of timers share: an operator that does what its records say, on a clock that stands still or runs away."""

from chain_harness import Subtask

from actorflow.operators.processing.actor import OperatorActor


class Hurried(Subtask):
    """A subtask on whose clock every reading takes longer than a slice: one timer at a time."""

    def processing_time(self):
        self.now_ms += 1000
        return self.now_ms


class Scripted(OperatorActor):
    """A record is `(key, actions)`; a timer emits itself, and does what the script says for its timestamp."""

    def __init__(self, script=None):
        self.script = script or {}

    def on_record(self, record, ctx):
        self.act(record[1], ctx)

    def on_timer(self, timestamp, ctx):
        assert timestamp == ctx.timestamp
        ctx.emit((ctx.key, timestamp, ctx.time_domain, ctx.watermark))
        self.act(self.script.get(timestamp, ()), ctx)

    def act(self, actions, ctx):
        for what, timestamp in actions:
            match what:
                case "event":
                    ctx.timers.event(timestamp)
                case "processing":
                    ctx.timers.processing(timestamp)
                case "delete":
                    ctx.timers.delete(timestamp)
                case "delete processing":
                    ctx.timers.delete(timestamp, processing=True)


def first_of(record):
    return record[0]


def advance(chain, watermark):
    """Tell a chain of a watermark until it lets it through; return after how many calls it did."""
    for calls in range(1, 10_000):
        if chain.advance_watermark(watermark) == watermark:
            return calls
        assert chain.blocked
    raise AssertionError("the watermark never came through")
