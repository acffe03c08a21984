"""Write the package's API pages with pdoc: `python workflow/api_pages.py FOLDER [FRONT]`.

FRONT is the page, relative to FOLDER, that each page links back to.

pdoc takes its text from docstrings. Here, constants and fields of data classes are explained by
comments, beside or above them; these are handed to pdoc as if they were docstrings.
"""

import ast
import io
import re
import shutil
import sys
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path

import pdoc
from pdoc import doc, extract, render

_NOTHING = re.compile(r"(Alias for field number \d+)?")  # Python's own for a NamedTuple's field


def comments(source: str) -> dict[str, str]:
    """What comments say about a module's constants and its classes' fields, by qualified name.

    A comment belongs to the assignment on whose first or last line it ends; a block of comment
    lines belongs to the assignment directly below it.
    """
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    found = {t.start[0]: t for t in tokens if t.type == tokenize.COMMENT}
    lines = source.splitlines()
    alone = {line for line in found if lines[line - 1].lstrip().startswith("#")}

    def said(first: int, last: int) -> str:
        beside = [line for line in (first, last) if line in found and line not in alone]
        above: list[int] = []
        while first - len(above) - 1 in alone:
            above.insert(0, first - len(above) - 1)
        chosen = dict.fromkeys(beside or above)
        return " ".join(found[line].string.lstrip("#: ").strip() for line in chosen)

    names = {name: said(node.lineno, node.end_lineno) for name, node in _assigned(source)}
    return {name: text for name, text in names.items() if text}


def _assigned(source: str) -> Iterator[tuple[str, ast.stmt]]:
    """Each name that a module, or a class in it, assigns or declares, with the statement."""
    tree = ast.parse(source)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for prefix, body in [("", tree.body), *((f"{c.name}.", c.body) for c in classes)]:
        for node in body:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                yield from ((prefix + t.id, node) for t in targets if isinstance(t, ast.Name))


def document(module: doc.Module) -> None:
    """Use comments as docstrings of variables; leave out what classes inherit from other libraries.

    The hundred methods of a Keras layer, say, are not ours to explain.
    """
    said = comments(module.source)
    for member in _members(module):
        if isinstance(member, doc.Variable) and _NOTHING.fullmatch(member.docstring):
            member.docstring = said.get(member.qualname, "")
        if isinstance(member, doc.Class):
            for name, inherited in list(member.members.items()):
                if not inherited.taken_from[0].startswith("qlab"):
                    del member.members[name]


def _members(place: doc.Namespace) -> Iterator[doc.Doc]:
    """The members of a module, and those of its classes."""
    for member in place.own_members:
        yield member
        if isinstance(member, doc.Class):
            yield from _members(member)


def write(folder: Path, front: str = "") -> None:
    """Write the pages of all of qlab's modules, an index and its search, into `folder`.

    The folder is emptied first, so that no page of a deleted module stays behind. `front` is the
    page, relative to `folder`, that each page links back to.
    """
    # About what our classes inherit from a library's, which `document` leaves out.
    warnings.filterwarnings("ignore", "Error parsing type annotation .* jupyter_client")
    # About commands that a library runs on import, which pdoc suppresses.
    warnings.filterwarnings("ignore", "Suppressed execution of")
    modules = {name: doc.Module.from_name(name) for name in extract.walk_specs(["qlab"])}
    shutil.rmtree(folder, ignore_errors=True)
    look = {"docformat": "markdown", "footer_text": "qlab", "favicon": "data:,"}
    render.configure(**look, template_directory=Path(__file__).parent / "site" / "api")
    render.env.globals["front"] = front
    for name, module in modules.items():
        document(module)
        page = folder / f"{name.replace('.', '/')}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(render.html_module(module, modules), encoding="utf-8")
    (folder / "index.html").write_text(render.html_index(modules), encoding="utf-8")
    (folder / "search.js").write_text(render.search_index(modules), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]), *sys.argv[2:])
    print(Path(sys.argv[1], "index.html"), f"(pdoc {pdoc.__version__})")
