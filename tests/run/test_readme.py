"""README's map and commands name what there is."""

import re

import pytest
from conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = sorted(p.stem for p in (ROOT / "src" / "qlab").glob("*.py") if "__" not in p.stem)
COMMANDS = sorted(set(re.findall(r"(?:`|^)make ([a-z]+)", README, re.M)))
LINKS = sorted(set(re.findall(r"\]\(([^)#:]+)\)", README)))


@pytest.mark.parametrize("module", MODULES)
def test_the_map_has_every_module(module):
    assert f"`{module}`" in README


@pytest.mark.parametrize("command", COMMANDS)
def test_every_make_command_is_a_target(command):
    assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)


@pytest.mark.parametrize("link", LINKS)
def test_every_link_leads_somewhere(link):
    assert (ROOT / link).exists()
