"""The public names: complete, typed, and free until they are used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import actorflow as af


def loaded_by(program):
    """Names of the top-level packages, and of actorflow's modules, that a program has loaded at its end."""
    report = (
        "import sys; print(*sorted({name if name.startswith('actorflow.') else name.partition('.')[0] for name in sys.modules}))"
    )
    ran = subprocess.run([sys.executable, "-c", f"{program}\n{report}"], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_importing_actorflow_loads_nothing_else():
    assert loaded_by("import sys, typing, __future__, actorflow") - loaded_by("import sys, typing, __future__") == {"actorflow"}


def test_building_a_pipeline_loads_no_heavy_library():
    program = (
        "import actorflow as af; p = af.Pipeline('job')\n"
        "p.read(af.sources.text('x')).flat_map(str.split).key_by(lambda w: w).count().map(str)"
    )
    heavy = {"numpy", "polars", "pyarrow", "zmq", "pykka", "rich", "typer", "fsspec", "ruamel", "xxhash", "IPython"}
    assert loaded_by(program) & heavy == set()


def test_every_public_name_has_one_home_and_a_type():
    tree = ast.parse(Path(af.__file__).read_text(encoding="utf-8"))
    (typed,) = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {alias.name: node.module for node in typed.body for alias in node.names}
    assert sorted(imported) == af.__all__
    assert {
        name: home if home.rpartition(".")[2] != name else home.rpartition(".")[0] for name, home in af._HOME_OF.items()
    } == imported


@pytest.mark.parametrize("name", af.__all__)
def test_every_public_name_is_there(name):
    value = getattr(af, name)
    assert getattr(value, "__name__", "").rpartition(".")[2] == name


def test_public_names_are_listed_before_they_are_used():
    assert set(af.__all__) <= set(dir(af))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'actorflow' has no attribute 'Pipelin'"):
        af.Pipelin
