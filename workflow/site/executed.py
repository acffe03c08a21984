"""Executed notebooks as pages: still pictures, alternative texts, and lines under each figure."""

import ast
import re
from pathlib import Path

import nbformat
from drawn import Drawn, about, picture

WIDGET = "application/vnd.jupyter.widget-view+json"  # with a still picture beside it: core.live
STILL = (
    "*A still picture of a box that follows sliders and lists; it does in JupyterLab (`make lab`).*"
)


def drawing(root: Path, names: set[str]) -> dict[str, set[str]]:
    """Functions of the package that draw figures with fixed names, each with those `names`."""
    found: dict[str, set[str]] = {}
    files = (file.read_text(encoding="utf-8") for file in (root / "src" / "qlab").rglob("*.py"))
    nodes = [node for text in files for node in ast.walk(ast.parse(text))]
    for node in nodes:
        if isinstance(node, ast.FunctionDef):
            texts = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)} & names
            if texts:
                found.setdefault(node.name, set()).update(texts)
    for alias in (a for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names if a.asname):
        if alias.name in found:  # imported by another name
            found.setdefault(alias.asname, set()).update(found[alias.name])
    return found


def draws(source: str, own: dict[str, Drawn], by_call: dict[str, set[str]]) -> list[Drawn]:
    """The notebook's own figures that a cell draws: named in the cell, or in what it calls."""
    named = set(re.findall(r"\w+", source))
    for call in re.findall(r"\.(\w+)\(", source):
        named |= by_call.get(call, set())
    return [one for name, one in own.items() if name in named]


def page(file: Path, own: dict[str, Drawn], by_call: dict[str, set[str]], root: Path,
         start: str) -> nbformat.NotebookNode:  # fmt: skip
    """A notebook as the site shows it; `start` is put under its title.

    If several cells draw a figure, its lines come under the first; a figure that no cell names (an
    executed copy may be older than the package) comes at the end.
    """
    book = nbformat.read(file, 4)
    book.metadata.pop("widgets", None)
    title = book.cells[0]
    first, rest = title.source.split("\n", 1)
    title.source = f"{first}\n\n{start}\n{rest}"
    cells, left = [], dict(own)
    for cell in book.cells:
        cells.append(cell)
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace("](../docs/executed/small/", "](../small/")
            continue
        widgets = [o.data for o in cell.outputs if WIDGET in o.get("data", {})]
        for data in widgets:
            del data[WIDGET]
        if not any("image/png" in o.get("data", {}) for o in cell.outputs):
            continue
        here = [one for one in draws(cell.source, left, by_call) if not widgets]
        said = " ".join(one.caption for one in here) or _said(cell, widgets)
        cell.metadata["mystnb"] = {"image": {"alt": said}}
        where = f"Drawn by the cell above, of `notebooks/{file.name}`"
        for one in here:
            del left[one.name]
            text = f"({one.label})=\n{about(one, root, where)}"
            cells.append(nbformat.v4.new_markdown_cell(text, id=one.label))
        if widgets:
            cells.append(nbformat.v4.new_markdown_cell(STILL, id=f"still-{len(cells)}"))
    for one in left.values():
        text = f"({one.label})=\n{picture(one)}{about(one, root, 'Drawn by this notebook')}"
        cells.append(nbformat.v4.new_markdown_cell(text, id=one.label))
    book.cells = cells
    return book


def _said(cell: nbformat.NotebookNode, widgets: list) -> str:
    """What a picture without a caption shows: the box's own text, or the cell's last call."""
    if widgets:
        text = re.sub(r"<[^>]*>", " ", widgets[0].get("text/plain", ""))
        return " ".join(text.split())[:300] or "The box's picture when the notebook ran"
    return f"Picture drawn by {cell.source.strip().splitlines()[-1][:100]}"
