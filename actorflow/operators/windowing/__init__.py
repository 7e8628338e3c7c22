"""Windows, their triggers and evictors, and the stages that run them. `window_stage` runs all kinds, `pane_stage` and `session_stage` most of them faster."""
