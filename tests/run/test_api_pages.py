"""Every public name says what it is, and the pages that pdoc makes of it hold together."""

import ast
import html
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "workflow"))
import api_pages  # noqa: E402

MODULES = sorted((ROOT / "src" / "qlab").rglob("*.py"))
# Elements that Markdown and pdoc make; another one is a <placeholder> of a docstring, not shown.
ELEMENTS = re.compile(
    "a|aside|blockquote|body|br|button|code|dd|details|div|dl|dt|em|footer|form|h[1-6]|head|header|html|hr"
    "|img|input|label|li|link|main|meta|nav|ol|p|path|pre|script|section|small|span|strong|style"
    "|sub|summary|sup|svg|table|tbody|td|th|thead|title|tr|ul|wbr"
)
Functions = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(module: Path) -> str:
    parts = module.relative_to(ROOT / "src").with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def public(node: ast.AST) -> list:
    """The functions and classes that a module or class shows."""
    found = [n for n in node.body if isinstance(n, Functions | ast.ClassDef)]
    return [n for n in found if not n.name.startswith("_")]


def undocumented(source: str) -> list[str]:
    """Public modules, classes, functions, methods without docstring, and fields without meaning."""
    tree = ast.parse(source)
    missing = [] if ast.get_docstring(tree) else ["the module"]
    said = api_pages.comments(source)
    for one in public(tree):
        missing += [] if ast.get_docstring(one) else [one.name]
        if isinstance(one, ast.ClassDef):
            inner = public(one)
            missing += [f"{one.name}.{m.name}" for m in inner if not ast.get_docstring(m)]
            words = set(re.findall(r"\w+", ast.get_docstring(one) or ""))
            missing += [
                f"{one.name}.{f.target.id}"
                for f in one.body
                if isinstance(f, ast.AnnAssign) and not f.target.id.startswith("_")
                if f.target.id not in words and f"{one.name}.{f.target.id}" not in said
            ]
    return missing


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_every_public_name_says_what_it_is(module):
    assert undocumented(module.read_text(encoding="utf-8")) == []


def test_a_name_without_words_would_be_noticed():
    source = 'def f(): pass\nclass A:\n  """x is known."""\n  x: int\n  y: int\n  z: int  # last\n'
    assert undocumented(source) == ["the module", "f", "A.y"]


def test_comments_become_docstrings_of_constants_and_fields():
    source = "A = 1  # one\n# two\n# three\nB = [\n]\nC = (  # four\n)\n"
    source += "class D:\n  e: int  # five\n"
    assert api_pages.comments(source) == {"A": "one", "B": "two three", "C": "four", "D.e": "five"}


class Page(HTMLParser):
    """A page's elements, its ids, where its links lead, and what stands in code."""

    def __init__(self, text: str):
        super().__init__()
        self.elements, self.ids, self.links, self.code = set(), set(), [], []
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.elements.add(tag)
        self.ids |= {given["id"]} if "id" in given else set()
        self.links += [given[key] for key in ("href", "src") if given.get(key)]
        self._inside.append(tag)

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data):
        if self._inside and self._inside[-1] == "code":
            self.code.append(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The pages of all modules, made by the command of `make docs`."""
    made = tmp_path_factory.mktemp("some pages") / "docs"
    call = [sys.executable, "workflow/api_pages.py", str(made)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return made


@pytest.fixture(scope="module")
def pages(folder) -> dict[Path, Page]:
    return {f: Page(f.read_text(encoding="utf-8")) for f in sorted(folder.rglob("*.html"))}


@pytest.mark.slow
def test_there_is_a_page_for_each_module(folder, pages):
    named = {f.relative_to(folder).with_suffix("").as_posix().replace("/", ".") for f in pages}
    wanted = {name_of(m) for m in MODULES if m.name != "__main__.py"}
    assert named == wanted | {"index"}


@pytest.mark.slow
def test_every_link_leads_somewhere(pages):
    for file, page in pages.items():
        for link in page.links:
            if link.startswith(("https://pdoc.dev", "data:")):
                continue
            place, _, anchor = link.partition("#")
            target = (file.parent / place).resolve() if place else file
            assert target.is_file(), f"{file.name}: {link}"
            if anchor:
                assert anchor in pages[target].ids, f"{file.name}: {link}"


@pytest.mark.slow
def test_every_module_named_in_words_is_there(pages):
    """pdoc links `qlab.x.y` where it exists, and leaves it as it is where it does not."""
    dead = {text for p in pages.values() for text in p.code if re.fullmatch(r"qlab\.[\w.]+", text)}
    assert dead == set()


@pytest.mark.slow
def test_pages_show_no_machine_and_lose_no_placeholder(folder, pages):
    for file, page in pages.items():
        lost = [e for e in page.elements if not ELEMENTS.fullmatch(e)]
        assert not lost, f"{file.name}: {lost}"
    places = [str(ROOT), os.path.expanduser("~") + "/", sys.prefix]
    for file in [*pages, folder / "search.js"]:
        text = file.read_text(encoding="utf-8")
        assert not [place for place in places if place in text], file.name


@pytest.mark.slow
def test_the_search_knows_the_names_and_needs_no_network(folder):
    index = (folder / "search.js").read_text(encoding="utf-8")
    for name in (
        "qlab.language.gptq.Gptq.quantize",
        "qlab.core.records.Record.ci_low",
        "qlab.core.errors.QlabError",
    ):
        assert f'"{name}"' in index
    assert "of GPTQ's Hessian; 0 where there is none" in html.unescape(index)  # of a NamedTuple
    assert "what was quantized" in index  # of the field Record.model
    assert "Alias for field" not in index
    assert "fetch(" not in index and "https://cdn" not in index
