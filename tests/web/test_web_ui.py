"""The web UI asks REST alone, for what REST has, and brings all that it needs."""

import json
import re
import shutil
import subprocess

import pytest

from actorflow.rest.shapes import Job
from actorflow.web import CONTENT_SECURITY, web_files

FILES = {path: file.content.decode() for path, file in web_files().items()}
SCRIPTS = {path: text for path, text in FILES.items() if path.endswith(".js")}


def test_the_front_page_brings_what_it_names():
    named = re.findall(r'(?:src|href)="(/[^"]*)"', FILES["/"])
    assert named
    assert set(named) <= set(FILES)


def test_scripts_import_each_other_and_nobody_else():
    imported = {path: re.findall(r'from "([^"]*)"', text) for path, text in SCRIPTS.items()}
    assert sum(map(len, imported.values())) > 5
    assert all(f"/web{name[1:]}" in SCRIPTS for names in imported.values() for name in names)


@pytest.mark.parametrize("path", FILES)
def test_nothing_comes_from_elsewhere_or_stands_inline(path):
    text = FILES[path].replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|//cdn|@import|url\((?!#)", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    assert not re.search(r"<script(?![^>]*src=)|<style|\son[a-z]+=\"|style=\"", text)


def test_browsers_are_told_to_run_and_ask_nothing_else():
    assert CONTENT_SECURITY.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in CONTENT_SECURITY


def test_pages_read_what_the_answers_have():
    read = set(
        re.findall(
            r"told(?:\.(\w+)|\[\"([a-z-]+)\"\])",
            SCRIPTS["/web/pages.js"].split("export async function job(")[1].split("\nfunction")[0] + SCRIPTS["/web/scale.js"],
        )
    )
    names = {one or other for one, other in read}
    assert {"name", "state", "vertices", "stages", "rescaling"} <= names <= set(Job.__annotations__)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js to run the scripts with")
def test_figures_are_shown_as_people_read_them(tmp_path):
    for path, text in SCRIPTS.items():
        (tmp_path / path.rpartition("/")[2].replace(".js", ".mjs")).write_text(text.replace('.js"', '.mjs"'))
    shown = "[f.rate(950), f.rate(12345), f.rate(4.6e6), f.rate(null), f.bytes(0), f.bytes(1500), f.duration(90061000), f.duration(61000), f.duration(-1), f.share(0.256)]"
    program = f'import("./format.mjs").then((f) => console.log(JSON.stringify({shown})))'
    done = subprocess.run(["node", "-e", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    expected = ["950/s", "12.3 k/s", "4.6 M/s", "\u2013", "0 B", "1.5 kB", "1d 1h", "1m 1s", "\u2013", "26 %"]
    assert json.loads(done.stdout) == expected
    sample = {
        "jid": "j",
        "attempt": 1,
        "now": 1000,
        "vertices": [{"id": "v", "parallelism": 2, "metrics": dict.fromkeys(METRICS, 0)}],
    }
    later = json.loads(json.dumps(sample)) | {"now": 3000}
    later["vertices"][0]["metrics"] = dict(zip(METRICS, (1000, 500, 2000, 1000), strict=True))
    program = f'import("./rates.mjs").then((r) => {{ r.ratesOf({json.dumps(sample)}); console.log(JSON.stringify(r.ratesOf({json.dumps(later)}).get("v"))); }})'
    done = subprocess.run(["node", "-e", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"in": 500, "out": 250, "busy": 0.5, "held": 0.25}


METRICS = ("read-records", "write-records", "accumulated-busy-time", "accumulated-backpressured-time")
