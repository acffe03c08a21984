"""Every public name says what it is, and the pages that pdoc makes of it hold together."""

import ast
import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT

sys.path.append(str(ROOT / "workflow"))
import api_pages  # noqa: E402

MODULES = sorted((ROOT / "src" / "qlab").rglob("*.py"))


def undocumented(source: str) -> list[str]:
    """Public modules, classes, functions, methods without docstring, and fields without meaning.

    A method may be explained by the class above it. What a class takes that checks it is explained
    where it is given: in a notebook's parameters cell, in a file of data/.
    """
    tree, said = ast.parse(source), api_pages.comments(source)
    shown = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    public = [n for n in tree.body if isinstance(n, shown) and n.name[0] != "_"]
    named = [("the module", tree), *((n.name, n) for n in public)]
    missing, known = [], {}
    for one in (n for n in public if isinstance(n, ast.ClassDef)):
        bases = {ast.unparse(base) for base in one.bases}
        above = set().union(*(known.get(base, ()) for base in bases))
        inner = {n.name: n for n in one.body if isinstance(n, shown) and n.name[0] != "_"}
        named += [(f"{one.name}.{name}", n) for name, n in inner.items() if name not in above]
        known[one.name] = above | set(inner)
        if bases <= {"NamedTuple", "Protocol"}:
            fields = [n.target.id for n in one.body if isinstance(n, ast.AnnAssign)]
            told = set(re.findall(r"\w+", ast.get_docstring(one) or ""))
            told |= {name.removeprefix(f"{one.name}.") for name in said}
            missing += [f"{one.name}.{f}" for f in fields if f[0] != "_" and f not in told]
    return [name for name, node in named if not ast.get_docstring(node)] + missing


@pytest.mark.parametrize("module", MODULES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_public_name_says_what_it_is(module):
    source = module.read_text(encoding="utf-8")
    assert not source.strip() or undocumented(source) == []


def test_a_name_without_words_is_noticed_and_comments_are_words():
    source = 'def f(): pass\nclass A:\n  """x is known."""\n  x: int\n  y: int\n  z: int  # last\n'
    assert undocumented(source) == ["the module", "f", "A.y"]
    source = "A = 1  # one\n# two\n# three\nB = [\n]\nclass D:\n  e: int  # five\n"
    assert api_pages.comments(source) == {"A": "one", "B": "two three", "D.e": "five"}


@pytest.mark.slow
def test_pages_of_all_modules_hold_together(tmp_path):
    call = [sys.executable, "workflow/api_pages.py", str(tmp_path / "docs")]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    pages = {f: f.read_text(encoding="utf-8") for f in (tmp_path / "docs").rglob("*.html")}
    assert len(pages) == len([m for m in MODULES if m.name != "__main__.py"]) + 1  # and the index
    ids = {file: set(re.findall(r'id="([^"]+)"', text)) for file, text in pages.items()}
    for file, text in pages.items():
        assert str(ROOT) not in text  # no machine's paths
        for link in re.findall(r'(?:href|src)="(?!https://pdoc|data:)([^"]+)"', text):
            place, _, anchor = link.partition("#")
            target = (file.parent / place).resolve() if place else file
            assert target.is_file() and (not anchor or anchor in ids[target]), (file.name, link)
        dead = re.findall(r"<code>(qlab\.[\w.]+)</code>", text)  # pdoc links what exists
        assert dead == [], file.name
    index = (tmp_path / "docs" / "search.js").read_text(encoding="utf-8")
    assert '"qlab.core.records.Record.ci_low"' in index and "Alias for field" not in index
