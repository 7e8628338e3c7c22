"""Scripts run with files of options: `conf/` in force, in the process of the command and in slot workers; where their logs go."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CONF = Path(__file__).parents[2] / "conf"
DEADLINE_S = 60.0

JOB = """
    import logging
    import actorflow as af

    log = logging.getLogger("shop.basket")

    def logged(number):
        log.info("number %d", number)
        log.debug("details of %d", number)
        logging.getLogger("shop.noise").info("noise about %d", number)
        return number

    logging.getLogger("shop").warning("the script begins")
    print(sorted(af.collect(af.Pipeline("logged").read(af.sources.collection(range(400))).rebalance().map(logged))) == list(range(400)))
"""


@pytest.fixture
def run(tmp_path):
    """Return a function that runs `actorflow run` with options on a script, in a directory of its own."""

    def run(code, *arguments):
        (tmp_path / "job.py").write_text(textwrap.dedent(code))
        environment = {name: value for name, value in os.environ.items() if name not in {"ACTORFLOW_OPTIONS", "ACTORFLOW_CONFIG"}}
        command = [sys.executable, "-m", "actorflow.cli.main", "run", *arguments, "job.py"]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )

    return run


def written(directory):
    return sorted(line.split(": ", 1)[1] for file in directory.iterdir() for line in file.read_text().splitlines())


def test_the_local_configuration_is_in_force_in_the_workers_of_a_script(run):
    done = run(
        """
        import os
        import actorflow as af
        processes = af.Pipeline("processes").read(af.sources.collection(range(1000))).rebalance().map(lambda n: os.getpid())
        print(len(set(af.collect(processes))))
        """,
        "--config",
        str(CONF / "local.yaml"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")


def test_the_logging_configuration_has_each_process_write_a_file(run, tmp_path):
    done = run(JOB, "--config", str(CONF / "local.yaml"), "--config", str(CONF / "logging.yaml"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    texts = written(tmp_path / "log")
    mine = [text for text in texts if text.startswith(("number", "details", "the script"))]
    assert mine == sorted([*(f"number {number}" for number in range(400)), "the script begins"])
    assert {file.name.partition("-")[0] for file in (tmp_path / "log").iterdir()} == {"run", "worker"}


def test_single_loggers_have_levels_of_their_own(run):
    done = run(JOB, "-D", "env.log.level=error", "-D", "actorflow.log.levels=shop.basket=debug", "-p", "1")
    assert (done.returncode, done.stdout) == (0, "True\n")
    texts = [line.split(": ", 1)[1] for line in done.stderr.splitlines()]
    assert texts == [text for number in range(400) for text in (f"number {number}", f"details of {number}")]


def test_full_log_files_are_rotated_and_the_oldest_removed(run, tmp_path):
    limits = ["-D", "actorflow.log.file-size-max=4kb", "-D", "env.log.max=2", "-p", "1"]
    done = run(JOB, "-D", "env.log.dir=log", "-D", "actorflow.log.levels=shop=debug", *limits)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    files = {file.name.partition(".log")[2]: file for file in (tmp_path / "log").glob("worker-*")}
    assert sorted(files) == ["", ".1", ".2"]
    assert all(file.stat().st_size <= 4096 for file in files.values())
    lines = [line for suffix in (".2", ".1", "") for line in files[suffix].read_text().splitlines()]
    assert lines[-1].endswith("shop.noise: noise about 399")
    assert len(lines) < 3 * 400


def test_a_script_that_sets_up_its_own_logging_keeps_it(run):
    done = run("import logging\nlogging.basicConfig(level='INFO', format='mine %(message)s')\nlogging.info('hello')\n")
    assert (done.returncode, done.stderr) == (0, "mine hello\n")


def test_where_no_log_can_be_written_is_refused_before_the_script_starts(run, tmp_path):
    (tmp_path / "file").write_text("")
    done = run("print('started')", "-D", "env.log.dir=file/log")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: -D env.log.dir: env.log.dir: cannot log to directory 'file/log': Not a directory\n"


def test_a_configuration_file_with_an_unknown_option_is_refused_before_the_script_starts(run, tmp_path):
    (tmp_path / "mine.yaml").write_text("heartbeat:\n  intervall: 2s\n")
    done = run("print('started')", "--config", "mine.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("mine.yaml:2: unknown option 'heartbeat.intervall' (hint: did you mean 'heartbeat.interval'?)\n")
