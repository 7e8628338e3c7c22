"""A server on an embedded cluster, and requests to it."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request

import actorflow as af

DEADLINE_S = 20


class Measured(af.OperatorActor):
    """Passes numbers on, and keeps metrics of its own."""

    def on_start(self, ctx):
        self.passed = ctx.metrics.counter("passed")
        self.sizes = ctx.metrics.histogram("sizes")
        ctx.metrics.gauge("note", lambda: "no number")

    def on_record(self, number, ctx):
        self.passed.inc()
        self.sizes.update(number)
        ctx.emit(number)


@contextlib.contextmanager
def served(config=None, slots="inline"):
    """A cluster with one job that runs until it is cancelled."""
    pipeline = af.Pipeline("visits")
    numbers = pipeline.read(af.sources.generator(rate=500)).map(lambda n: n % 10, name="last digit")
    measured = numbers.process(Measured(), name="measured")
    measured.key_by(lambda n: n).count(name="count").write(af.sinks.discard(), name="nowhere")
    with af.LocalCluster(slots=slots, config={"rest.port": 0, **(config or {})}) as cluster:
        job = cluster.submit(pipeline, parallelism=2)
        assert job.wait_until(lambda: job.progress()[1] > 50, DEADLINE_S)
        yield Served(cluster, job)


class Served:
    """A cluster, its job, and how to ask over HTTP."""

    def __init__(self, cluster, job):
        self.cluster = cluster
        self.job = job

    def ask(self, path, method="GET", body=None, **headers):
        """Return status and content of an answer; JSON is read."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        given = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
        request = urllib.request.Request(self.cluster.rest_url + path, method=method, data=data, headers=given)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
                status, kind, text = answer.status, answer.headers["content-type"], answer.read()
        except urllib.error.HTTPError as error:
            status, kind, text = error.code, error.headers["content-type"], error.read()
        return status, json.loads(text) if kind == "application/json" else text.decode()
