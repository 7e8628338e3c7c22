"""Building the subtasks of one worker from a deployment: actors first, then gates, then outputs and chains.

Every part knows its neighbours only through small callables, so that a channel within the node (by reference), between threads of the node
(as a message) and between nodes (as frames) differ in nothing but the link that is chosen here.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from actorflow.actor import ActorContext
from actorflow.config import options
from actorflow.connectors.contracts import ReaderContext, SinkSpec, SourceSpec
from actorflow.errors import ActorflowError
from actorflow.ids import ChannelId, NodeId, SubtaskId
from actorflow.operators.chain import compile_chain
from actorflow.operators.compiled.combining import merging_pairs
from actorflow.operators.contract import Chain, OutputPort
from actorflow.operators.failures import call_user, refused, user_failure
from actorflow.plan.execution import Channel, ExecutionEdge, Vertex
from actorflow.plan.graph import DataPath, Role
from actorflow.plan.topology import Topology
from actorflow.protocol.checkpoints.checkpoint_messages import BacklogReported
from actorflow.protocol.event_time.alignment import WatermarkReported
from actorflow.protocol.jobs.job_messages import ResultChunk
from actorflow.protocol.transfer.credit import ReceiverLedger
from actorflow.protocol.transfer.flush import BufferSizing, FlushRules
from actorflow.runtime.channels.exchange import Exchange, make_exchange
from actorflow.runtime.channels.input_gate import InputChannel, InputGate
from actorflow.runtime.channels.lanes import DirectLink, Lane, Link, PostedLink
from actorflow.runtime.channels.links import DataPlane, RemoteLink, received
from actorflow.runtime.channels.writing import SinkOutput
from actorflow.runtime.checkpoints.checkpoint_joining import join
from actorflow.runtime.checkpoints.checkpoint_site import CheckpointSite
from actorflow.runtime.subtasks.context import OperatorContext, SinkContext
from actorflow.runtime.subtasks.descriptors import watchers
from actorflow.runtime.subtasks.feeds import GateFeed, Taker
from actorflow.runtime.subtasks.meter import Meter
from actorflow.runtime.subtasks.source_feed import SourceFeed
from actorflow.runtime.subtasks.subtask import Subtask
from actorflow.runtime.subtasks.subtask_contract import Feed, Owner
from actorflow.runtime.workers.deployment import Deployment, Part, ResultWindow, Site
from actorflow.runtime.workers.directory import Directory, subtask_name
from actorflow.runtime.workers.file_cache import FileCache
from actorflow.state.backends import StateBackends
from actorflow.wire.frame import Frame

OwnNews = ResultChunk | WatermarkReported | BacklogReported
"""What a subtask has for the JobMaster by itself."""


class Assembly:
    """Builds the subtasks of one deployment on one worker.

    Args:
        site: where.
        deployment: what.
        owner: told when a subtask finishes or fails.
        context: of the owner; the subtasks become its children.
        ask_split: asks the JobMaster for the next split of a subtask.
        split_read: tells the JobMaster that a subtask has read all of a split.
        report: tells the JobMaster what a subtask has for it: results, and how far a source is. Called on the subtask's thread.
        checkpoints: where subtasks store their parts of checkpoints, if the job takes any.
    """

    def __init__(
        self,
        site: Site,
        deployment: Deployment,
        owner: Owner,
        *,
        context: ActorContext,
        ask_split: Callable[[SubtaskId], None],
        split_read: Callable[[SubtaskId, int], None],
        report: Callable[[OwnNews], None],
        checkpoints: CheckpointSite | None = None,
    ) -> None:
        self._site = site
        self._deployment = deployment
        self._owner = owner
        self._context = context
        self._ask_split = ask_split
        self._split_read = split_read
        self._report = report
        self._checkpoints = checkpoints
        self._config = deployment.config
        self._graph = deployment.graph
        self._directory = Directory(Topology.of(deployment.graph), deployment.workers)
        self._backends = StateBackends(deployment.config, deployment.job, batch=deployment.graph.batch)
        self.failing: SubtaskId | None = None
        """The subtask that is being completed; if that raises, it is the one to blame."""
        self._partitions = deployment.partitions(site, context)
        self._opened: list[SinkOutput] = []
        self._parts: dict[SubtaskId, Part] = {}
        self._lanes: dict[ChannelId, tuple[Lane, Part]] = {}
        self._gates: dict[ChannelId, tuple[InputGate, int, Part]] = {}

    def build(self) -> dict[SubtaskId, Part]:
        """Build everything; return the parts by subtask, in the order of the deployment."""
        for subtask in self._deployment.mine:
            self._parts[subtask] = self._spawn(subtask)
        for part in self._parts.values():
            self._build_gate(part)
        for part in self._parts.values():
            self.failing = part.id
            self._complete(part)
        return self._parts

    def undo(self) -> None:
        """Close the writers that were opened before building failed."""
        for sink in self._opened:
            with contextlib.suppress(Exception):  # the failure that led here is the one to report
                sink.close()

    # --- actors ----------------------------------------------------------------------------------------------------------------

    def _spawn(self, subtask: SubtaskId) -> Part:
        vertex = self._graph.vertex(subtask.vertex)
        made: list[Subtask] = []
        ref = self._context.spawn(
            Subtask,
            f"{vertex.name} ({subtask.index + 1}/{vertex.parallelism})",
            self._owner,
            made.append,
            meter=Meter(self._site.system.clock),
            name=subtask_name(subtask),
            dispatcher=vertex.dispatcher,
        )
        self._context.watch(ref)
        return Part(subtask, vertex, made[0])

    # --- inputs ----------------------------------------------------------------------------------------------------------------

    def _build_gate(self, part: Part) -> None:
        channels = [channel for channel in self._graph.channels if channel.consumer == part.id]
        if not channels:
            return
        if self._graph.blocking:
            ledger, wake = self._ledger(len(channels)), part.actor.wake
            part.gate, part.reads = self._partitions.gate(
                channels, ledger, wake, lambda gate, index: self._receiver(gate, index, part)
            )
            return
        ends = [InputChannel(channel.id, self._edge(channel).port, self._announcer(channel, part)) for channel in channels]
        part.gate = gate = InputGate(ends, self._ledger(len(channels)), part.actor.wake)
        for index, channel in enumerate(channels):
            self._gates[channel.id] = (gate, index, part)
            if channel.producer not in self._parts:
                self._plane().register_input(self._deployment.attempt, channel.id, self._receiver(gate, index, part))

    def _ledger(self, channels: int) -> ReceiverLedger:
        exclusive, floating = self._config[options.BUFFERS_PER_CHANNEL], self._config[options.FLOATING_BUFFERS_PER_GATE]
        indexes = (ChannelId(index) for index in range(channels))
        return ReceiverLedger(indexes, exclusive=exclusive, floating=floating, per_channel_max=exclusive + floating)

    def _receiver(self, gate: InputGate, index: int, part: Part) -> Callable[[Frame], None]:
        if part.vertex.dispatcher == "default":
            return lambda frame: part.actor.guarded(lambda: gate.push(index, received(frame), frame.backlog))
        return lambda frame: part.actor.post(lambda: gate.push(index, received(frame), frame.backlog))

    def _announcer(self, channel: Channel, consumer: Part) -> Callable[[int, int], None]:
        """Return how the consuming end of a channel tells its producer of credit."""
        if channel.producer in self._parts:

            def announce(credit: int, records_max: int) -> None:
                lane, producer = self._lanes[channel.id]
                if consumer.vertex.dispatcher == producer.vertex.dispatcher == "default":
                    producer.actor.granted(lane, credit, records_max)
                else:
                    producer.actor.post(lambda: producer.actor.granted(lane, credit, records_max))

            return announce
        plane, node, attempt = self._plane(), self._deployment.node_of(channel.producer), self._deployment.attempt
        return lambda credit, records_max: plane.send_credit(node, attempt, channel.id, credit, records_max)

    # --- outputs ---------------------------------------------------------------------------------------------------------------

    def _complete(self, part: Part) -> None:
        transforms = tuple(operator for operator in part.vertex.operators if operator.spec.role is Role.TRANSFORM)
        has_source = part.vertex.operators[0].spec.role is Role.SOURCE
        ports: list[OutputPort] = []
        exchanges: list[Exchange] = []
        for edge in self._graph.edges:
            if edge.source == part.id.vertex:
                exchange = self._exchange(part, edge)
                exchanges.append(exchange)
                ports.append(OutputPort(edge.operator - has_source, edge.tag, exchange))
        sinks: list[SinkOutput] = []
        last = part.vertex.operators[-1]
        if isinstance(last.spec, SinkSpec):
            sinks.append(self._sink(part, last.spec))
            ports.append(OutputPort(len(transforms) - 1, None, sinks[0]))
        if self._graph.batch and transforms:
            transforms = (merging_pairs(transforms[0]), *transforms[1:])
        chain = compile_chain(transforms, ports, self._operator_context(part))
        part.actor.assemble(self._feed(part, chain), chain, tuple(exchanges), tuple(sinks))
        if self._checkpoints is not None:
            restored = self._deployment.restored.get(part.vertex.id, ())
            part.actor.checkpoints = join(self._checkpoints, part, restored, self._key_failure(part, part.vertex))

    def _exchange(self, part: Part, edge: ExecutionEdge) -> Exchange:
        closing: Callable[[], None] | None = None
        timeout_s: float | None = self._config[options.BUFFER_TIMEOUT]
        if self._graph.blocking:
            part.writes, timeout_s = self._partitions.written_by(part.id), None
            written, lanes = self._partitions.output(part.id, edge, self._config[options.BATCH_RECORDS_MAX])
            closing = written.close
        else:
            lanes = [self._lane(channel, part) for channel in self._graph.channels_of(edge, part.id)]
        target = self._graph.vertex(edge.target)
        exchange = make_exchange(
            edge.partitioner,
            lanes,
            self._site.system.clock,
            FlushRules(self._batch_records_first, timeout_s),
            max_parallelism=target.max_parallelism,
            first=part.id.index,
            failure=self._key_failure(part, target),
        )
        exchange.closing = closing
        return exchange

    def _lane(self, channel: Channel, part: Part) -> Lane:
        lane = Lane(
            channel.id,
            self._link(channel, part),
            batch_records_max=self._batch_records_first,
            waiting_max=self._config[options.MAX_BUFFERS_PER_CHANNEL],
            overdraft_max=self._config[options.MAX_OVERDRAFT_BUFFERS_PER_GATE],
        )
        self._lanes[channel.id] = (lane, part)
        return lane

    @staticmethod
    def _key_failure(part: Part, target: Vertex) -> Callable[[BaseException, object], Exception]:
        """Return how a key function that raises, or gives what is no key, is reported: it belongs to the operator that it leads to."""
        operator, subtask = f"the key of '{target.operators[0].name}'", str(part.id)

        def failure(error: BaseException, record: object) -> Exception:
            if isinstance(error, ActorflowError):
                return refused(error, operator=operator, subtask=subtask, record=record)
            return user_failure(error, operator=operator, subtask=subtask, record=record)

        return failure

    def _link(self, channel: Channel, producer: Part) -> Link:
        if channel.consumer in self._parts:
            gate, index, consumer = self._gates[channel.id]
            if consumer.vertex.dispatcher == producer.vertex.dispatcher == "default":
                return DirectLink(gate, index)
            return PostedLink(gate, index, consumer.actor.post)
        plane, attempt = self._plane(), self._deployment.attempt
        plane.register_output(attempt, channel.id, self._credit_taker(channel, producer))
        node = self._deployment.node_of(channel.consumer)
        limit = self._config[options.FRAME_BYTES_MAX]
        return RemoteLink(plane, node, attempt, channel.id, compressed=self._compressed(node), payload_bytes_max=limit)

    def _compressed(self, node: NodeId) -> bool:
        """Whether frames to a node are compressed: within a host the processor is scarcer than the link."""
        compression = self._config[options.COMPRESSION]
        return compression == "always" or (compression == "auto" and node not in self._deployment.on_this_host)

    def _credit_taker(self, channel: Channel, producer: Part) -> Callable[[int, int], None]:
        def take(credit: int, records_max: int) -> None:
            producer.actor.granted(self._lanes[channel.id][0], credit, records_max)

        if producer.vertex.dispatcher == "default":
            return take
        return lambda credit, records_max: producer.actor.post(lambda: take(credit, records_max))

    # --- both ends of a chain ----------------------------------------------------------------------------------------------------

    def _feed(self, part: Part, chain: Chain) -> Feed:
        if part.gate is not None:
            return self._gate_feed(part, part.gate)
        spec = part.vertex.operators[0].spec
        assert isinstance(spec, SourceSpec), "a vertex without input starts with a source"
        watch, unwatch = watchers(self._site.system, part.vertex.dispatcher)
        rows = self._config[options.BATCH_ROWS_MAX] if spec.source.gives is DataPath.COLUMNS else None
        exchanged = any(edge.source == part.id.vertex for edge in self._graph.edges)
        part.source = SourceFeed(
            part.actor,
            spec.source,
            operator=part.vertex.operators[0].name,
            context=ReaderContext(
                self._site.system.clock,
                part.id,
                part.vertex.parallelism,
                self._deployment.attempt,
                frames=chain.takes_frames,
            ),
            batch_records_first=rows or self._batch_records_first,
            # An exchange costs Python for each batch; without one, larger batches only leave the processor's cache.
            batch_records_max=rows or (self._config[options.BATCH_RECORDS_MAX] if exchanged else self._batch_records_first),
            ask=lambda: self._ask_split(part.id),
            finished=lambda split: self._split_read(part.id, split),
            backlog=lambda backlog: self._report(BacklogReported(part.id, self._deployment.attempt, backlog)),
            watch=watch,
            unwatch=unwatch,
        )
        return part.source

    def _gate_feed(self, part: Part, gate: InputGate) -> Feed:
        """Return what feeds a subtask from its gate: as batches come, or, in batch mode and by key, once all is there and sorted."""

        def feed(taker: Taker) -> GateFeed:
            return GateFeed(
                taker,
                gate,
                sizing=self._sizing(),
                sizing_period_s=self._config[options.DEBLOAT_PERIOD],
                batch_records_max=self._batch_records_first,
                payload_bytes_max=self._config[options.FRAME_BYTES_MAX],
            )

        edges = [edge for edge in self._graph.edges if edge.target == part.id.vertex and self._graph.sorts(edge)]
        if not edges:
            return feed(part.actor)
        keys = {edge.port: edge.partitioner.key for edge in edges if edge.partitioner.key is not None}
        from actorflow.runtime.subtasks.sorted_feed import sorted_feed  # brings what sorts on disk, which only batch mode needs

        failure = self._key_failure(part, part.vertex)
        return sorted_feed(part.actor, feed, part.vertex.operators[0], part.id, keys=keys, config=self._config, failure=failure)

    @property
    def _batch_records_first(self) -> int:
        return min(self._config[options.BATCH_RECORDS_INITIAL], self._config[options.BATCH_RECORDS_MAX])

    def _sizing(self) -> BufferSizing | None:
        config = self._config
        if self._graph.batch or not config[options.DEBLOAT_ENABLED]:
            return None  # nobody waits for a single record of a batch job
        return BufferSizing(
            config[options.DEBLOAT_TARGET],
            records_min=1,
            records_max=config[options.BATCH_RECORDS_MAX],
            records_first=self._batch_records_first,
            samples=config[options.DEBLOAT_SAMPLES],
            threshold=config[options.DEBLOAT_THRESHOLD] / 100,
        )

    def _sink(self, part: Part, spec: SinkSpec) -> SinkOutput:
        deployment = self._deployment

        def send(payload: bytes) -> None:
            self._report(ResultChunk(deployment.job, part.id, deployment.attempt, payload))

        part.results = window = ResultWindow(send)
        context = SinkContext(
            self._site.system.clock,
            self._graph.name,
            deployment.job,
            part.id,
            part.vertex.parallelism,
            deployment.attempt,
            window.send,
        )
        operator, subtask = part.vertex.operators[-1].name, str(part.id)
        writer = call_user(spec.sink.open, context, operator=operator, subtask=subtask)
        sink = SinkOutput(
            spec.sink,
            writer,
            lambda: window.full,
            now=self._site.system.clock.now,
            flush_after_s=self._config[options.BUFFER_TIMEOUT],
            operator=operator,
            subtask=subtask,
        )
        self._opened.append(sink)
        return sink

    def _operator_context(self, part: Part) -> OperatorContext:
        return OperatorContext(
            self._graph.name,
            part.id,
            part.vertex.parallelism,
            part.vertex.max_parallelism,
            self._deployment.attempt,
            logging.getLogger(f"actorflow.job.{self._graph.name}.{part.vertex.name}.{part.id.index}"),
            self._config,
            self._graph.batch,
            self._site.system,
            self._directory,
            part.actor,
            self._site.async_home,
            lambda operator: self._backends.make(operator, part.id, part.vertex.max_parallelism, part.actor.processing_time),
            self._report,
            self._context.address,
            self._deployment.quarantined,
            FileCache(self._graph.cached_files, self._site.cache, self._site.blobs),
        )

    def _edge(self, channel: Channel) -> ExecutionEdge:
        return self._graph.edges[channel.edge]

    def _plane(self) -> DataPlane:
        assert self._site.plane is not None, "a channel to another node needs a transport"
        return self._site.plane
