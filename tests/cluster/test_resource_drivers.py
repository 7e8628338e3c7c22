"""How a driver is found: built in, by the name of an entry point, or by where it is."""

import sys

import pytest

from actorflow.cluster.process_driver import ProcessDriver
from actorflow.cluster.resource_drivers import end_task_managers, open_driver
from actorflow.config import Config, layered
from actorflow.errors import ConfigError

MODULE = """
class Cloud:
    def __init__(self, config):
        self.config, self.ended = config, []

    def request_task_manager(self, name): ...

    def release_task_manager(self, name):
        if name == "stuck":
            raise RuntimeError("it does not end")
        self.ended.append(name)

    def task_managers(self):
        return ["one", "stuck", "two"]
"""


def config(driver, **others):
    return layered(Config.of({"actorflow.resourcemanager.driver": driver, "slotmanager.number-of-slots.max": 4, **others}))


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    """A package that brings a driver."""
    (tmp_path / "cloud_driver.py").write_text(MODULE)
    installed = tmp_path / "cloud_driver-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: cloud-driver\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[actorflow.resource_drivers]\ncloud = cloud_driver:Cloud\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("cloud_driver", None)


def test_without_a_driver_nobody_starts_task_managers():
    assert open_driver(layered(Config.of({}))) is None


def test_the_one_that_starts_processes_is_built_in(tmp_path):
    assert isinstance(open_driver(config("process", **{"env.pid.dir": str(tmp_path)})), ProcessDriver)


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize("name", ["cloud", "cloud_driver:Cloud"])
def test_others_are_found_by_entry_point_and_by_path_and_get_the_options(name):
    driver = open_driver(config(name))
    assert ("Cloud", config(name)) == (type(driver).__name__, driver.config)


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("clout", "names driver 'clout', which is not installed .*there are standalone, process, cloud"),
        ("no_such_module:Cloud", "cannot make driver 'no_such_module:Cloud' .*No module named"),
        ("cloud_driver:Sky", "cannot make driver 'cloud_driver:Sky' .*has no attribute"),
        ("cloud_driver:MODULE", "cannot make driver"),
    ],
)
def test_what_is_no_driver_is_refused_by_name(name, message):
    with pytest.raises(ConfigError, match=message):
        open_driver(config(name))


@pytest.mark.usefixtures("cloud")
def test_when_nobody_leads_any_more_all_are_ended_that_can_be(caplog):
    driver = open_driver(config("cloud"))
    end_task_managers(driver)
    assert (["one", "two"], True) == (sorted(driver.ended), "it does not end" in caplog.text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"actorflow.resourcemanager.driver": "process"}, "needs a limit"),
        ({"slotmanager.number-of-slots.min": 3, "slotmanager.number-of-slots.max": 2}, "the least is not more than the most"),
    ],
)
def test_a_driver_needs_a_limit_that_fits(options, message):
    with pytest.raises(ConfigError, match=message):
        layered(Config.of(options))
