"""README's map and commands name what there is; the changelog keeps its form."""

import re
import tomllib

import pytest
from conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
ROOMS = sorted(p.parent.name for p in (ROOT / "src" / "qlab").glob("*/__init__.py"))
COMMANDS = sorted(set(re.findall(r"(?:`|^)make ([a-z]+)", README, re.M)))
LINKS = sorted(set(re.findall(r"\]\(([^)#:]+)\)", README)))


@pytest.mark.parametrize("room", ROOMS)
def test_the_map_has_every_room(room):
    assert re.search(rf"`(src/qlab/)?{room}/?`", README)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_make_command_is_a_target(command):
    assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)


@pytest.mark.parametrize("link", LINKS)
def test_every_link_leads_somewhere(link):
    assert (ROOT / link).exists()


def test_the_changelog_keeps_its_form_and_knows_the_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    first, *released = re.findall(r"^## (.+)$", text, re.M)
    assert first == "[Unreleased]"
    dated = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", title) for title in released]
    assert dated[0][1] == project["version"]
    assert [d[2] for d in dated] == sorted((d[2] for d in dated), reverse=True)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.M)) <= kinds
