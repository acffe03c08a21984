"""Every public name says what it is, and the pages that pdoc makes of it hold together."""

import ast
import re
import sys

import pytest
from conftest import ROOT

sys.path.append(str(ROOT / "workflow"))
import api_pages  # noqa: E402

MODULES = sorted((ROOT / "src" / "qlab").rglob("*.py"))
API = ROOT / "build" / "site" / "api"


def undocumented(source: str) -> list[str]:
    """Public modules, classes, functions without docstring, and fields without meaning."""
    tree, said = ast.parse(source), api_pages.comments(source)
    shown = (ast.FunctionDef, ast.ClassDef)
    public = [n for n in tree.body if isinstance(n, shown) and n.name[0] != "_"]
    missing = [getattr(n, "name", "module") for n in (tree, *public) if not ast.get_docstring(n)]
    for one in (n for n in public if isinstance(n, ast.ClassDef)):
        # What a class takes that checks it is explained where it is given.
        if {ast.unparse(base) for base in one.bases} <= {"NamedTuple", "Protocol"}:
            fields = [n.target.id for n in one.body if isinstance(n, ast.AnnAssign)]
            told = {name.removeprefix(f"{one.name}.") for name in said}
            told |= set(re.findall(r"\w+", ast.get_docstring(one) or ""))
            missing += [f"{one.name}.{f}" for f in fields if f[0] != "_" and f not in told]
    return missing


def test_every_public_name_says_what_it_is():
    source = 'def f(): pass\nclass A:\n  """x is known."""\n  x: int\n  y: int\n  z: int  # last\n'
    assert undocumented(source) == ["module", "f", "A.y"]
    sources = {module: module.read_text(encoding="utf-8") for module in MODULES}
    missing = {m: undocumented(s) for m, s in sources.items() if s.strip()}
    assert {m: names for m, names in missing.items() if names} == {}


@pytest.mark.skipif(not API.is_dir(), reason="There is no build/site: make figures site")
def test_pages_of_all_modules_hold_together():
    """Those that `make site` wrote."""
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
