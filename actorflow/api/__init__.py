"""What users write: pipelines, streams, operators."""
