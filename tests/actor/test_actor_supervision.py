"""Supervision performed: what becomes of actors that raise. On a simulated system, so that back-offs take no time."""

import pytest

from actorflow.actor import Actor, Directive, LightActor, Supervise
from actorflow.errors import AskRefused, PlanError
from actorflow.protocol.machine import ChildEnded, Failed, TimerFired
from actorflow.protocol.supervision import escalate, restart, resume, stop


class Fragile(Actor):
    """Raises what it is told to raise; its log outlives its instances."""

    def __init__(self, log):
        super().__init__()
        self.log = log
        self.count = 0

    def on_start(self):
        self.log.append(f"start {self.ctx.path}")

    def on_restart(self, error):
        self.log.append(f"restart {self.ctx.path} after {error.kind}")

    def on_stop(self):
        self.log.append(f"stop {self.ctx.path}")

    def on_failure(self, kind, value, traceback):
        self.log.append(f"failure {self.ctx.path} {kind.__name__}")

    def on_receive(self, message):
        if isinstance(message, BaseException):
            raise message
        if callable(message):
            return message(self)
        self.count += 1
        self.log.append(message)
        return self.count


class Parent(Fragile):
    """Spawns children `a`, `b`, `c` and hears of their endings."""

    def __init__(self, log, supervise, endings):
        super().__init__(log)
        self.supervise = supervise
        self.endings = endings

    def on_start(self):
        for name in "abc":
            self.ctx.watch(self.ctx.spawn(Fragile, self.log, name=name, supervise=self.supervise))

    def on_restart(self, error):
        super().on_restart(error)
        self.on_start()

    def on_receive(self, message):
        if isinstance(message, ChildEnded):
            self.endings.append(message)
            return None
        return super().on_receive(message)


@pytest.fixture
def family(sim):
    """Spawn a parent with three children, and return their log, the endings it hears of, and the child `b`."""

    def make(supervise, above=None):
        log, endings = [], []
        sim.spawn(Parent, log, supervise, endings, name="p", supervise=above)
        sim.dispatcher.run_until_idle()
        log.clear()
        return log, endings, sim.resolve("/p/b")

    return make


def test_without_a_policy_a_failure_stops_the_actor(sim, family):
    log, endings, b = family(None)
    b.tell(ValueError("bad"))
    b.tell("never handled")
    sim.dispatcher.run_until_idle()
    assert log == ["failure /p/b ValueError"]
    [ended] = endings
    assert (ended.name, type(ended.ending), ended.ending.error.kind, ended.ending.error.context) == (
        "b", Failed, "ValueError", {"actor": "/p/b"},
    )  # fmt: skip
    assert "raise message" in ended.ending.error.traceback
    assert [letter.message for letter in sim.dead_letters.last()] == ["never handled"]


def test_resume_keeps_the_instance_and_drops_the_message(sim, family):
    log, _endings, b = family(Supervise(decide=resume))
    for message in ("one", ValueError("bad"), "two"):
        b.tell(message)
    assert b.ask("three") == 3
    assert log == ["one", "two", "three"]


def test_restart_makes_a_fresh_instance_keeps_the_mailbox_and_drops_the_message(sim, family):
    log, endings, b = family(Supervise(decide=restart))
    for message in ("one", ValueError("bad"), "two"):
        b.tell(message)
    assert b.ask("three") == 2
    assert log == ["one", "failure /p/b ValueError", "restart /p/b after ValueError", "two", "three"]
    assert endings == []
    assert [row.restarts for row in sim.tree()] == [0, 0, 1, 0]


def test_messages_of_both_lanes_wait_in_order_during_the_backoff(sim, family):
    log, _endings, b = family(Supervise(decide=restart, backoff_min_s=5, jitter=0))
    b.tell(ValueError("bad"))
    sim.dispatcher.run_until_idle()
    for number in range(3):
        b.tell(f"data {number}")
        b.tell_control(f"control {number}")
    sim.dispatcher.run_for(4.9)
    assert log == []
    sim.dispatcher.run_for(0.1)
    assert log[2:] == ["control 0", "control 1", "control 2", "data 0", "data 1", "data 2"]
    assert sim.clock.now() == 5.0


def test_timers_and_pauses_do_not_outlive_an_instance_and_stashed_messages_do(sim, family):
    log, _endings, b = family(Supervise(decide=restart))
    b.tell(lambda self: self.ctx.set_timer("old", 1.0))
    b.tell(lambda self: self.ctx.stash() if self.count == 0 and not self.log else self.log.append("stashed came back"))
    b.tell(lambda self: self.ctx.pause_data())
    sim.dispatcher.run_until_idle()
    b.tell_control(ValueError("bad"))
    sim.dispatcher.run_for(2.0)
    assert log == ["failure /p/b ValueError", "restart /p/b after ValueError", "stashed came back"]
    assert TimerFired("old") not in log


def test_a_restart_stops_the_children_of_the_old_instance_first(sim):
    log = []
    sim.spawn(Parent, log, None, [], name="p", supervise=Supervise(decide=restart)).tell(ValueError("bad"))
    sim.dispatcher.run_until_idle()
    assert log[3:8] == ["stop /p/c", "stop /p/b", "stop /p/a", "failure /p ValueError", "restart /p after ValueError"]
    assert sorted(log[8:]) == ["start /p/a", "start /p/b", "start /p/c"]


def test_one_for_one_leaves_siblings_alone(sim, family):
    log, _endings, b = family(Supervise(decide=restart))
    b.tell(ValueError("bad"))
    sim.dispatcher.run_until_idle()
    assert log == ["failure /p/b ValueError", "restart /p/b after ValueError"]


def test_all_for_one_restarts_siblings_too(sim, family):
    log, _endings, b = family(Supervise(decide=restart, scope="all", backoff_min_s=1, jitter=0))
    b.tell(ValueError("bad"))
    sim.dispatcher.run_until_idle()
    sim.resolve("/p/a").tell("waits with its sibling")
    sim.dispatcher.run_for(1.0)
    assert sorted(log) == [
        "failure /p/b ValueError",
        "restart /p/a after ValueError",
        "restart /p/b after ValueError",
        "restart /p/c after ValueError",
        "stop /p/a",
        "stop /p/c",
        "waits with its sibling",
    ]


def test_all_for_one_stops_siblings_too(sim, family):
    log, endings, b = family(Supervise(decide=stop, scope="all"))
    b.tell(ValueError("bad"))
    sim.dispatcher.run_until_idle()
    assert sorted(log) == ["failure /p/b ValueError", "stop /p/a", "stop /p/c"]
    assert sorted((ended.name, type(ended.ending)) for ended in endings) == [("a", Failed), ("b", Failed), ("c", Failed)]


def test_too_many_restarts_in_the_window_stop_the_actor(sim, family):
    log, endings, b = family(Supervise(decide=restart, restarts_max=2))
    for _ in range(3):
        b.tell(ValueError("bad"))
    sim.dispatcher.run_until_idle()
    assert log == ["failure /p/b ValueError", "restart /p/b after ValueError"] * 2 + ["failure /p/b ValueError"]
    assert [ended.name for ended in endings] == ["b"]


def test_escalation_makes_it_the_parents_failure(sim, family):
    log, _endings, b = family(Supervise(decide=escalate), above=Supervise(decide=restart))
    b.tell(ValueError("bad"))
    sim.dispatcher.run_until_idle()
    assert log[:5] == ["stop /p/c", "failure /p/b ValueError", "stop /p/a", "stop /p", "restart /p after ValueError"]
    assert [row.restarts for row in sim.tree()] == [1, 0, 0, 0]


def test_resuming_a_parent_resumes_the_child_whose_failure_it_took_over(sim, family):
    log, _endings, b = family(Supervise(decide=escalate), above=Supervise(decide=resume))
    b.tell(ValueError("bad"))
    assert b.ask("going on") == 1
    assert log == ["going on"]


def test_escalation_at_the_top_stops_the_actor(sim):
    log = []
    ref = sim.spawn(Fragile, log, name="a", supervise=Supervise(decide=escalate))
    ref.tell(ValueError("bad"))
    sim.dispatcher.run_until_idle()
    assert ref.is_alive() is False


def test_the_limit_may_escalate(sim, family):
    log, _endings, b = family(
        Supervise(decide=restart, restarts_max=0, beyond_limit=Directive.ESCALATE), above=Supervise(decide=restart)
    )
    b.tell(ValueError("bad"))
    sim.dispatcher.run_until_idle()
    assert "restart /p after ValueError" in log


def test_the_default_policy_reads_whether_a_retry_can_help(sim, family):
    log, endings, b = family(Supervise())
    b.tell(ValueError("the next attempt may go well"))
    b.tell(PlanError("will never work"))
    sim.dispatcher.run_until_idle()
    assert log == ["failure /p/b ValueError", "restart /p/b after ValueError", "failure /p/b PlanError"]
    assert [ended.ending.error.message for ended in endings] == ["will never work"]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), AskRefused("x")])
def test_whatever_an_actor_raises_is_its_own_failure(sim, family, error):
    log, _endings, b = family(Supervise(decide=restart))
    b.tell(error)
    sim.dispatcher.run_until_idle()
    assert log == [f"failure /p/b {type(error).__name__}", f"restart /p/b after {type(error).__name__}"]


def test_an_exit_in_an_asked_message_reaches_the_asker_and_the_supervisor(sim, family):
    log, _endings, b = family(Supervise(decide=restart))
    with pytest.raises(SystemExit):
        b.ask(SystemExit(3))
    sim.dispatcher.run_until_idle()
    assert log == ["failure /p/b SystemExit", "restart /p/b after SystemExit"]


def test_a_failing_start_is_supervised_and_gets_no_last_hook(sim):
    log = []

    class NeverStarts(Fragile):
        def on_start(self):
            self.log.append("try")
            raise OSError("not yet")

        def on_restart(self, error):
            self.on_start()

    sim.spawn(NeverStarts, log, name="a", supervise=Supervise(decide=restart, restarts_max=2))
    sim.dispatcher.run_until_idle()
    assert log == ["try"] * 3
    assert sim.tree() == ()


def test_light_actors_are_supervised_alike(sim):
    class Light(LightActor):
        __slots__ = ("log", "value")

        def __init__(self, log):
            self.log = log
            self.value = 0

        def on_receive(self, message):
            if message == "bad":
                raise ValueError(message)
            self.value += message
            self.log.append(self.value)
            return self.value

        def on_failure(self, kind, value, traceback):
            self.log.append("failure")

        def on_restart(self, error):
            self.log.append(f"restart after {error.kind}")

    log = []
    ref = sim.spawn(Light, log, name="light", supervise=Supervise(decide=restart, backoff_min_s=1, jitter=0))
    for message in (1, 2, "bad", 3, 4):
        ref.tell(message)
    sim.dispatcher.run_until_idle()
    assert log == [1, 3]
    sim.dispatcher.run_for(1.3)
    assert ref.ask(5) == 12
    assert log == [1, 3, "failure", "restart after ValueError", 3, 7, 12]
    assert ref.stop() is True


def test_the_story_tells_failures_and_restarts(sim, family):
    _log, _endings, b = family(Supervise(decide=restart))
    b.tell(ValueError("bad"))
    sim.dispatcher.run_until_idle()
    assert [(entry.event, [getattr(cause, "kind", cause) for cause in entry.caused]) for entry in b.story()] == [
        ("started", []),
        ("failed", ["ValueError"]),
        ("restarted", ["ValueError"]),
    ]


@pytest.mark.parametrize("backoff_s", [0, 1])
def test_siblings_that_fail_at_the_same_time_are_all_restarted_once(sim, family, backoff_s):
    log, _endings, b = family(Supervise(decide=restart, scope="all", restarts_max=1, backoff_min_s=backoff_s, jitter=0))
    for ref in (sim.resolve("/p/a"), b):
        ref.tell(ValueError("bad"))
        ref.tell("then")
    sim.dispatcher.run_for(5.0)
    assert sorted(log) == [
        "failure /p/a ValueError",
        "failure /p/b ValueError",
        *[f"restart /p/{name} after ValueError" for name in "abc"],
        "stop /p/c",
        "then",
        "then",
    ]
    assert [row.restarts for row in sim.tree()] == [0, 1, 1, 1]


def test_a_sibling_restarted_before_it_began_is_supervised_like_the_others(sim, family):
    log, _endings, b = family(Supervise(decide=restart, scope="all"))
    policy = Supervise(decide=restart, restarts_max=1)
    late = sim.resolve("/p").ask(lambda self: self.ctx.spawn(Fragile, log, name="late", supervise=policy))
    b.tell(ValueError("bad"))
    sim.dispatcher.run_until_idle()
    for _ in range(2):
        late.tell(ValueError("bad"))
    sim.dispatcher.run_until_idle()
    assert late.is_alive() is False
    assert log.count("failure /p/late ValueError") == 2


def test_a_watcher_hears_what_the_actor_raised_even_where_its_decider_raises_too(sim, family):
    _log, endings, b = family(Supervise(decide=lambda _error: 1 / 0))
    b.tell(ValueError("bad"))
    sim.dispatcher.run_until_idle()
    [ended] = endings
    assert (ended.name, ended.ending.error.kind) == ("b", "ValueError")
    assert ended.ending.error.message == "bad (and `decide` of its supervision raised ZeroDivisionError: division by zero)"
