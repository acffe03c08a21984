"""Every public name says what it is, and the pages that pdoc makes of it hold together."""

import re
import subprocess
import sys

import pytest
from conftest import ROOT

MODULES = sorted((ROOT / "src" / "qlab").rglob("*.py"))
API = ROOT / "build" / "site" / "api"


def test_every_public_name_says_what_it_is():
    call = [sys.executable, "-m", "ruff", "check", "--select", "D100,D101,D103,D104", ROOT / "src"]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(not API.is_dir(), reason="There is no build/site: make figures site")
def test_pages_of_all_modules_hold_together():
    pages = {f: f.read_text(encoding="utf-8") for f in API.rglob("*.html")}
    assert len(pages) == len([m for m in MODULES if m.name != "__main__.py"]) + 1  # and the index
    ids = {file: set(re.findall(r'id="([^"]+)"', text)) for file, text in pages.items()}
    for file, text in pages.items():
        assert str(ROOT) not in text  # no machine's paths
        assert file.name == "index.html" or "qlab: the front page" in text
        for link in re.findall(r'(?:href|src)="(?!https://pdoc|data:|\$)([^"]+)"', text):
            place, _, anchor = link.partition("#")
            target = (file.parent / place).resolve() if place else file
            assert target.is_file() and (not anchor or anchor in ids[target]), (file.name, link)
        # pdoc links what exists
        assert re.findall(r"<code>(qlab\.[\w.]+)</code>", text) == [], file.name
    index = (API / "search.js").read_text(encoding="utf-8")
    assert '"qlab.core.records.Record.ci_low"' in index and "Alias for field" not in index
