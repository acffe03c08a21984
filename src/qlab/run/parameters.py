"""A notebook's parameters cell, read without being executed, and values for it from a command line.

The cell holds lines like this one, and nothing else except `from typing import Literal`:

    profile: Literal["smoke", "mini", "full"] = "mini"  # how much to run

The notebook itself checks types and ranges, by `core.parameters`, before it does anything else.
"""

import ast
import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qlab.core import paths
from qlab.core.errors import QlabError


def find_notebook(named: str | Path) -> Path:
    """The one notebook at a path, or with that number ("01") or stem under notebooks/."""
    text, folder = str(named), paths.home() / "notebooks"
    if os.path.isfile(text):  # unlike Path.is_file, no exception for a name that is too long
        return Path(text).absolute()
    numbered = sorted(folder.glob(f"{text}_*.ipynb")) if text.isdecimal() else []
    known = [p for p in sorted(folder.rglob("*.ipynb")) if ".ipynb_checkpoints" not in p.parts]
    found = numbered or [p for p in known if text in (p.stem, p.name)]
    if len(found) == 1:
        return found[0]
    raise QlabError(
        f"{text} is {'more than one' if found else 'no'} notebook; give a path, or a number or "
        f"name of those in {folder}: {', '.join(p.stem for p in found or known) or 'none'}."
    )


def read_notebook(path: Path) -> Any:
    """The notebook (nbformat 4). QlabError if it is missing, unreadable or not a notebook."""
    import nbformat  # takes a second, too long for `qlab --help`

    try:
        text = path.read_text(encoding="utf-8")
        nbformat.validate(nbformat.from_dict(json.loads(text)), version=4)  # reads only logs it
        return nbformat.reads(text, as_version=4)
    except Exception as error:  # a file can fail to be a notebook in many ways
        reason = f"{type(error).__name__}: {getattr(error, 'message', error)}"[:200]
        raise QlabError(f"{path} is not a notebook (JSON, nbformat 4): {reason}.") from error


def parameters_cell(nb: Any, title: str) -> str:
    """The code of a notebook's only parameters cell; `title` names the notebook in a QlabError."""
    tagged = [cell for cell in nb.cells if "parameters" in cell.metadata.get("tags", [])]
    if [cell.cell_type for cell in tagged] != ["code"]:
        found = ", ".join(f"a {cell.cell_type} cell" for cell in tagged) or "none"
        raise QlabError(
            f"{title} must have exactly one cell tagged `parameters`, a code cell; found: {found}."
        )
    return tagged[0].source


def parameters_of(nb: Any, title: str) -> dict[str, Any]:
    """Names and values that a notebook declares, in order; `title` names it in a QlabError."""
    found: dict[str, Any] = {}
    line = parameters_cell(nb, title)
    try:
        for statement in ast.parse(line).body:
            line = ast.unparse(statement)
            if line != "from typing import Literal":
                name, value = statement.target.id, ast.literal_eval(statement.value)
                if not isinstance(statement, ast.AnnAssign) or name in found:
                    raise ValueError("another statement, or the same name again")
                found[name] = value
    except (AttributeError, SyntaxError, TypeError, ValueError) as error:
        told = f"lines `name: type = literal`, each name once, and not `{' '.join(line.split())}`"
        raise QlabError(f"The parameters cell of {title} must hold {told}.") from error
    return found


def parse_for(declared: dict[str, Any], assignments: Iterable[str], title: str) -> dict[str, Any]:
    """The values of texts `name=value`, for parameters with such defaults: where the default is a
    text, the text itself, else what it spells in Python. `title` names the notebook in a
    QlabError: no value, a name that is unknown or given twice."""
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise QlabError(f"A parameter of {title} is name=value; {assignment!r} has no `=`.")
        if name in values:
            raise QlabError(f"The parameter {name} of {title} is given twice; give it once.")
        if name not in declared:
            known = ", ".join(declared)
            raise QlabError(f"{title} has no parameter {name!r}; its parameters: {known}.")
        values[name] = text if isinstance(declared[name], str) else _read(text)
    return values


def _read(text: str) -> Any:
    """The value that a text spells in Python; else the text itself."""
    with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
        return ast.literal_eval(text)
    return text
