"""README and docs: what they show runs, what they point to exists."""

from pathlib import Path

import pytest
from runnable_pages import read_page, run_page

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

RUNNING = [path for path in PAGES if read_page(path.read_text()).runs]


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def test_some_pages_run():
    assert ROOT / "docs" / "architecture.md" in RUNNING


@pytest.mark.slow
@pytest.mark.parametrize("path", RUNNING, ids=name_of)
def test_the_program_of_the_page_runs_and_prints_what_is_shown(path, tmp_path):
    run_page(path, tmp_path)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_the_links_of_the_page_lead_somewhere(path):
    inner = [link.partition("#") for link in read_page(path.read_text()).links if "://" not in link]
    targets = [((path.parent / file) if file else path, anchor) for file, _, anchor in inner]
    assert [] == [file for file, _ in targets if not file.exists()]
    assert [] == [(file, anchor) for file, anchor in targets if anchor and anchor not in read_page(file.read_text()).anchors]


def test_the_blocks_of_a_page_are_one_program_with_the_lines_of_the_page():
    text = "# Page\n```python\nx = 1\n```\nSee [this](other.md).\n```python no-run\ny\n```\n```sh\nls [a](b)\n```\n```python\nprint(x)\n```\n```output\n1\n```\n"
    page = read_page(text)
    assert ["x = 1", "print(x)"] == [page.program.splitlines()[number - 1] for number in (3, 13)]
    assert (page.output, page.fragments, page.links) == ("1", 1, ("other.md",))


def test_headings_are_linked_as_github_does_it():
    page = read_page("# All names\n## What it *costs*, and why?\n```sh\n# no heading\n```\n### `af.run`\n")
    assert page.anchors == {"all-names", "what-it-costs-and-why", "afrun"}


def test_a_page_without_python_does_not_run():
    assert not read_page("# Page\n```sh\nls\n```\n").runs


@pytest.mark.parametrize(
    ("block", "complaint"),
    [("raise ValueError('planted')", "line 3, in <module>"), ("print('other')", "shown")],
)
def test_a_page_that_is_wrong_is_found(block, complaint, tmp_path):
    path = tmp_path / "page.md"
    path.write_text(f"# Page\n```python\n{block}\n```\n```output\nshown\n```\n")
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(AssertionError, match=complaint):
        run_page(path, folder)
