"""Layers of configuration: typed values, origins, and what is refused."""

import pickle
from datetime import timedelta

import pytest

from actorflow.config import Config, from_assignments, from_environment, layered, load, merged, options, overrides, read_file
from actorflow.config.document import entries_of_yaml
from actorflow.config.load import nearest
from actorflow.errors import ConfigError


@pytest.fixture
def written(tmp_path):
    """Write a configuration file and return its path."""

    def write(text):
        path = tmp_path / "cluster.yaml"
        path.write_text(text)
        return path

    return write


def test_an_option_that_nobody_set_has_its_default():
    assert options.HEARTBEAT_TIMEOUT.default == Config()[options.HEARTBEAT_TIMEOUT]
    assert Config().origin(options.HEARTBEAT_TIMEOUT) == "default"


def test_every_default_is_a_value_of_its_own_kind_and_reads_back_as_shown():
    for option in options.ALL:
        assert option.default == option.kind.parse(option.kind.show(option.default), option.name)


def test_defaults_fit_together():
    Config().check()


def test_names_are_distinct_and_every_option_says_what_it_is_for():
    assert len(options.ALL) == len(options.BY_NAME)
    for option in options.ALL:
        assert option.text.endswith(".")
        assert (option.default is None) == bool(option.unset)


def test_nested_flat_and_mixed_keys_mean_the_same(written):
    flat = Config.of({"taskmanager.network.compression": "never", "heartbeat.interval": "2s"})
    for text in (
        "taskmanager.network.compression: never\nheartbeat.interval: 2s\n",
        "taskmanager:\n  network:\n    compression: never\nheartbeat:\n  interval: 2s\n",
        "taskmanager: {network.compression: never}\nheartbeat: {interval: 2000}\n",
        '{"taskmanager": {"network": {"compression": "never"}}, "heartbeat.interval": "2000 ms"}',
    ):
        assert flat == read_file(written(text))


def test_configurations_with_other_values_are_not_equal():
    assert Config.of({"heartbeat.interval": "2s"}) != Config.of({"heartbeat.interval": "3s"})
    assert hash(Config.of({"heartbeat.interval": "2s"})) == hash(Config.of({"heartbeat.interval": 2000}))


def test_a_value_knows_its_file_and_line(written):
    path = written("# comment\n\nheartbeat:\n  # why\n  interval: 2s\n")
    assert f"{path}:5" == read_file(path).origin(options.HEARTBEAT_INTERVAL)


def test_later_layers_go_before_earlier_ones(written):
    path = written("heartbeat: {interval: 1s, timeout: 21s}\nparallelism.default: 3\nslot.request.timeout: 4s\n")
    environment = {"ACTORFLOW_OPTIONS": "heartbeat.interval: 2s\nparallelism.default: 4"}
    pipeline = Config.of({"heartbeat.interval": "3s"})
    client = from_assignments(["heartbeat.interval=4s", "actorflow.ask.timeout=7s"])
    config = layered(load(path, environment=environment), pipeline, client)
    assert (4.0, 21.0, 4, 4.0, 7.0) == (
        config[options.HEARTBEAT_INTERVAL],
        config[options.HEARTBEAT_TIMEOUT],
        config[options.PARALLELISM_DEFAULT],
        config[options.SLOT_REQUEST_TIMEOUT],
        config[options.ASK_TIMEOUT],
    )
    assert ["-D heartbeat.interval", f"{path}:1", "ACTORFLOW_OPTIONS:2", f"{path}:3", "default"] == [
        config.origin(option)
        for option in (
            options.HEARTBEAT_INTERVAL,
            options.HEARTBEAT_TIMEOUT,
            options.PARALLELISM_DEFAULT,
            options.SLOT_REQUEST_TIMEOUT,
            options.BUFFER_TIMEOUT,
        )
    ]


def test_the_environment_holds_yaml_or_json():
    from_yaml = from_environment({"ACTORFLOW_OPTIONS": "heartbeat:\n  interval: 2s"})
    from_json = from_environment({"ACTORFLOW_OPTIONS": '{"heartbeat.interval": "2s"}'})
    assert Config.of({"heartbeat.interval": "2s"}) == from_yaml == from_json
    assert Config() == from_environment({}) == from_environment({"ACTORFLOW_OPTIONS": "  "})


def test_text_from_a_command_line_is_read_as_the_options_kind():
    config = from_assignments(
        [
            "pipeline.operator-chaining.enabled=false",
            "taskmanager.numberOfTaskSlots=64",
            "restart-strategy.exponential-delay.backoff-multiplier=2.5",
            "parallelism.default=",
            "actorflow.security.curve.key-file=keys/a=b.key",
        ]
    )
    assert (False, 64, 2.5, None, "keys/a=b.key") == (
        config[options.OPERATOR_CHAINING],
        config[options.SLOTS],
        config[options.EXPONENTIAL_MULTIPLIER],
        config[options.PARALLELISM_DEFAULT],
        config[options.CURVE_KEY_FILE],
    )


def test_the_environment_names_files_of_which_the_later_goes_before(tmp_path):
    first, second, third = tmp_path / "first.yaml", tmp_path / "second.yaml", tmp_path / "third.yaml"
    first.write_text("heartbeat: {interval: 1s, timeout: 21s}")
    second.write_text("\nheartbeat.interval: 2s")
    third.write_text("heartbeat.interval: 3s")
    environment = {"ACTORFLOW_CONFIG": f"{first}:{second}", "ACTORFLOW_OPTIONS": "parallelism.default: 4"}
    named, given = load(environment=environment), load(third, environment=environment)
    assert (2.0, 21.0, 4) == tuple(
        named[option] for option in (options.HEARTBEAT_INTERVAL, options.HEARTBEAT_TIMEOUT, options.PARALLELISM_DEFAULT)
    )
    assert f"{second}:2" == named.origin(options.HEARTBEAT_INTERVAL)
    assert (3.0, 50.0, 4) == tuple(
        given[option] for option in (options.HEARTBEAT_INTERVAL, options.HEARTBEAT_TIMEOUT, options.PARALLELISM_DEFAULT)
    )


def test_what_the_command_line_said_keeps_its_origin():
    config = overrides({"ACTORFLOW_OVERRIDES": '{"heartbeat.interval": "2s"}'})
    assert config.origin(options.HEARTBEAT_INTERVAL) == "-D heartbeat.interval"


def test_one_layer_need_not_fit_by_itself():
    half = merged(Config.of({"heartbeat.interval": "30s"}), from_assignments(["actorflow.ask.timeout=7s"]))
    whole = layered(Config.of({"heartbeat.timeout": "2min"}), half)
    assert (30.0, 120.0, 7.0) == (whole[options.HEARTBEAT_INTERVAL], whole[options.HEARTBEAT_TIMEOUT], whole[options.ASK_TIMEOUT])


def test_values_from_yaml_travel_as_the_plain_types_that_messages_have(written):
    config = read_file(
        written(
            "restart-strategy.exponential-delay.backoff-multiplier: 1.50\n"
            "parallelism.default: 0x10\n"
            "pipeline.operator-chaining.enabled: &on true\n"
            "io.tmp.dirs: >\n  /a,/b\n"
            "actorflow.log.levels: [a=debug, b.c=warn]\n"
        )
    )
    plain = config.plain()
    assert [float, int, bool, str, str] == [type(value) for value in plain.values()]
    assert config == Config.of(plain)
    assert config[options.LOG_LEVELS] == (("a", "debug"), ("b.c", "warn"))
    assert hash(config) == hash(Config.of(plain))


def test_an_assignment_without_a_value_is_refused():
    with pytest.raises(ConfigError, match=r"-D heartbeat\.interval: no value"):
        from_assignments(["heartbeat.interval"])


def test_an_unknown_key_is_refused_with_file_line_and_nearest_name(written):
    path = written("heartbeat:\n  interval: 2s\n  timout: 20s\n")
    with pytest.raises(ConfigError) as caught:
        read_file(path)
    assert f"{path}:3: unknown option 'heartbeat.timout' (hint: did you mean 'heartbeat.timeout'?)" == str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("execution.restart-strategy.type", "restart-strategy.type"),
        ("taskmanager.number-of-task-slots", "taskmanager.numberOfTaskSlots"),
        ("execution.buffer-timeout", "execution.buffer-timeout.interval"),
        ("numberOfTaskSlots", "taskmanager.numberOfTaskSlots"),
        ("completely different", ""),
    ],
)
def test_the_nearest_name_is_what_was_probably_meant(wrong, meant):
    assert meant == nearest(wrong)


@pytest.mark.slow
def test_what_is_nested_too_deeply_to_be_read_is_refused_by_its_name():
    with pytest.raises(ConfigError, match=r"deep\.yaml: it is nested too deeply"):
        entries_of_yaml("[" * 10_000, "deep.yaml")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("heartbeat.interval: 1s\nheartbeat.interval: 2s\n", 2, "duplicate key"),
        ("heartbeat.interval: 1s\nheartbeat:\n  interval: 2s\n", 3, "already set in"),
        ("heartbeat:\n  interval: 1s\n\nheartbeat:\n  timeout: 2s\n", 4, "duplicate key"),
        ("heartbeat: [\n", 2, "not valid YAML"),
        ("a: b: c\n", 1, "not valid YAML"),
        ("5: 3\n", 1, "5 is not the name of an option"),
        ("\nheartbeat.interval: soon\n", 2, "'soon' is not a duration"),
        ("heartbeat.interval: [1s]\n", 1, "is not a duration"),
        ("parallelism.default: 99999\n", 1, "1 to 32768"),
        ("parallelism.default: 1.5\n", 1, "1.5 is not a whole number"),
        ("pipeline.operator-chaining.enabled: yes\n", 1, "'yes' is not a truth value"),
        ("actorflow.transport.frame-bytes-max: 1b\n", 1, "64kb to 1gb"),
        ("restart-strategy.type: sometimes\n", 1, "'none' or 'fixed-delay'"),
        ("restart-strategy.exponential-delay.jitter-factor: 2\n", 1, "0 to 1"),
        ("actorflow.transport.bind-host: 12\n", 1, "put it in quotes"),
        ("actorflow.ask.timeout: 0\n", 1, "at least 1ms"),
        ("heartbeat.interval: 1s\n---\nheartbeat.interval: 2s\n", 2, "another document"),
        ("# old\n%YAML 1.1\n---\npipeline.operator-chaining.enabled: yes\n", 2, "is not YAML 1.2"),
        ("actorflow.log.levels: loud\n", 1, "'loud' is not a logger and its level"),
        ("actorflow.log.levels: a=loud\n", 1, "a: 'loud' is not one of the possible words (hint: 'debug' or"),
        ("actorflow.log.levels: [a=warn, a=info]\n", 1, "the level of 'a' is already given"),
        ("actorflow.log.levels: [3]\n", 1, "is not a list of loggers"),
    ],
)
def test_what_is_wrong_is_refused_with_file_and_line(written, text, line, reason):
    path = written(text)
    with pytest.raises(ConfigError) as caught:
        read_file(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(("text", "reason"), [("- a\n- b\n", "not a list"), ("just text\n", "not a single value")])
def test_a_document_that_is_no_mapping_is_refused(written, text, reason):
    with pytest.raises(ConfigError, match=reason):
        read_file(written(text))


def test_an_empty_file_sets_nothing(written):
    assert Config() == read_file(written("# nothing yet\n"))


def test_keys_merged_from_an_anchor_name_their_file(written):
    path = written("heartbeat: &base\n  interval: 1s\n  <<: {timeout: 20s}\n")
    assert read_file(path).origin(options.HEARTBEAT_TIMEOUT).startswith(str(path))


def test_a_key_that_is_set_twice_does_not_show_its_values(written):
    path = written("actorflow.ask.timeout: hunter2\nactorflow.ask.timeout: hunter3\n")
    with pytest.raises(ConfigError) as caught:
        read_file(path)
    assert str(caught.value).startswith(f'{path}:2: duplicate key "actorflow.ask.timeout"')
    assert "hunter" not in str(caught.value)


def test_version_1_2_of_yaml_may_be_named(written):
    assert read_file(written("%YAML 1.2\n---\nheartbeat.interval: 2s\n"))[options.HEARTBEAT_INTERVAL] == 2.0


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read configuration .*missing\.yaml: No such file"):
        load(tmp_path / "missing.yaml", environment={})
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"a: \xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 3"):
        read_file(binary)


def test_impossible_combinations_are_refused_with_values_and_origins():
    with pytest.raises(ConfigError) as caught:
        layered(Config.of({"heartbeat.interval": "30s"}, "conf/local.yaml:4"))
    assert "'heartbeat.interval' (30s, conf/local.yaml:4) and 'heartbeat.timeout' (50s, default) do not fit" in str(caught.value)


def test_only_the_sum_of_the_layers_must_fit():
    config = layered(Config.of({"heartbeat.interval": "30s"}), Config.of({"heartbeat.timeout": "2min"}))
    assert config[options.HEARTBEAT_INTERVAL] == 30.0


@pytest.mark.parametrize(
    "mapping",
    [
        {"taskmanager.network.memory.buffers-per-channel": 11},
        {"actorflow.transport.blob-chunk-bytes": "16mb", "actorflow.transport.frame-bytes-max": "8mb"},
        {"actorflow.transport.unsent-bytes-max": "1mb"},
        {"actorflow.transport.reconnect-backoff.initial": "6s"},
        {"restart-strategy.exponential-delay.initial-backoff": "2min"},
        {"actorflow.security.curve.authorized-keys": "keys"},
        {"execution.checkpointing.mode": "at-least-once", "execution.checkpointing.unaligned.enabled": True},
        {"execution.checkpointing.externalized-checkpoint-retention": "retain-on-cancellation"},
        {"actorflow.transport.local-protocol": "tcp", "actorflow.transport.bind-host": "0.0.0.0"},
        {"actorflow.transport.local-protocol": "tcp", "actorflow.transport.bind-host": "node.example"},
    ],
)
def test_every_rule_refuses_what_it_is_for(mapping):
    with pytest.raises(ConfigError, match="do not fit"):
        layered(Config.of(mapping))


@pytest.mark.parametrize(
    "mapping",
    [
        {"actorflow.transport.local-protocol": "tcp", "actorflow.transport.bind-host": "[::1]"},
        {"actorflow.transport.local-protocol": "tcp", "actorflow.transport.bind-host": "localhost"},
        {
            "actorflow.transport.local-protocol": "tcp",
            "actorflow.transport.bind-host": "::",
            "actorflow.security.curve.key-file": "k",
        },
        {"actorflow.transport.bind-host": "node.example"},
    ],
)
def test_listening_needs_no_keys_on_loopback_and_with_keys_goes_everywhere(mapping):
    assert layered(Config.of(mapping)) == Config.of(mapping)


def test_what_was_set_travels_as_plain_values():
    config = Config.of({"heartbeat": {"interval": timedelta(seconds=2)}, "actorflow.transport.frame-bytes-max": "8mb"})
    assert {"heartbeat.interval": 2000.0, "actorflow.transport.frame-bytes-max": "8mb"} == config.plain()
    assert config == Config.of(config.plain())


def test_a_configuration_can_be_pickled():
    config = Config.of({"heartbeat.interval": "2s"}, "somewhere")
    copy = pickle.loads(pickle.dumps(config))
    assert config == copy
    assert copy.origin(options.HEARTBEAT_INTERVAL) == "somewhere"
