"""The cluster over HTTP: Flink's paths where Flink has the thing, the actor tree beside them, and metrics for Prometheus.

Home of FastAPI, uvicorn and prometheus-client, which the extra `rest` installs. Start at `app`.
"""
