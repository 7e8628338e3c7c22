"""Processes: nodes, the fork server, clients and the embedded cluster."""
