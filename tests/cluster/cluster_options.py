"""Options that tests of clusters share."""

REPORT_SOON = {"actorflow.worker.report-interval": "10ms"}
"""Have workers tell at once how many records they have read and written, where a test waits for that."""

CHECKPOINTS_AND_RESTARTS = {
    "execution.checkpointing.interval": "50ms",
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": 3,
    "restart-strategy.fixed-delay.delay": "10ms",
}
"""Have a job that fails go on at once from a checkpoint that is not old."""
