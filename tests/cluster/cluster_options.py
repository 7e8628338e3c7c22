"""Options that tests of clusters share."""

REPORT_SOON = {"actorflow.worker.report-interval": "10ms"}
"""Have workers tell at once how many records they have read and written, where a test waits for that."""
