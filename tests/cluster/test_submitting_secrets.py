"""What travels with a job, and is stored for the next leader, has none of the cluster's secrets."""

import actorflow as af
from actorflow.actor import Actor, ActorSystem, SimulatedDispatcher
from actorflow.clock import ManualClock
from actorflow.cluster.submitting import Desk, planned
from actorflow.config import Config
from actorflow.ids import NodeId
from actorflow.protocol.jobs.job_follower import DispatcherFound
from actorflow.protocol.jobs.job_messages import SubmitJob

AUTHORIZATION = "high-availability.zookeeper.client.authorization"


class Ear(Actor):
    def __init__(self, heard):
        super().__init__()
        self.heard = heard

    def on_receive(self, message):
        self.heard.append(message)


def test_a_submitted_job_carries_its_options_without_the_secrets():
    config = Config.of(
        {AUTHORIZATION: "digest:user:password", "actorflow.rest.token": "a-token-of-the-cluster", "parallelism.default": 1}, "test"
    )
    pipeline = af.Pipeline("p")
    pipeline.read(af.sources.collection([1])).write(af.sinks.collect())
    submission, of_job = planned(
        pipeline, config, parallelism=1, slots=1, from_savepoint=None, allow_non_restored_state=False, claim_mode="no-claim"
    )
    system, heard = ActorSystem(NodeId("sim"), clock=ManualClock(), dispatcher=SimulatedDispatcher(7)), []
    ear = system.spawn(Ear, heard, name="ear")
    Desk(system, None, lambda news: news.wait).submit(submission, of_job, DispatcherFound(ear.address, 1))
    system.dispatcher.run_until_idle()
    (submitted,) = [message for message in heard if isinstance(message, SubmitJob)]
    assert submitted.options == {"parallelism.default": 1}
