"""README's map and commands name what there is, START.md the notebooks; one version."""

import re
import tomllib

from conftest import NOTEBOOKS, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_names_every_room_and_only_targets_and_files_that_there_are():
    rooms = {p.parent.name for p in (ROOT / "src" / "qlab").glob("*/__init__.py")}
    assert rooms <= set(re.findall(r"`(?:src/qlab/)?(\w+)/?`", README))
    commands = set(re.findall(r"(?:`|^)make ([a-z]+)", README, re.M))
    assert commands <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    assert all((ROOT / link).exists() for link in re.findall(r"\]\(([^)#:]+)\)", README))
    assert len(README.splitlines()) <= 150


def test_start_has_every_notebook_and_only_files_that_there_are():
    text = (ROOT / "START.md").read_text(encoding="utf-8")
    places = set(map("".join, re.findall(r'\]\((.+?)\)|src="(.+?)"', text)))
    assert {path.relative_to(ROOT).as_posix() for path in NOTEBOOKS} <= places
    assert [p for p in places if not (ROOT / p).is_file()] == []


def test_the_newest_release_of_the_changelog_is_the_version_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## \[(\d[\d.]*)\] - \d{4}-\d\d-\d\d$", text, re.M)[0] == project["version"]
    for name in ("CITATION.cff", "codemeta.json", ".zenodo.json"):
        said = re.search(r'^ *"?version"?: "?([\d.]+)', (ROOT / name).read_text(), re.M)
        assert said[1] == project["version"], name
