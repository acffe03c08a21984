"""A notebook's parameters cell as an interface: typed, checked, never executed.

The cell holds lines like this one, and nothing else except `from typing import Literal`:

    profile: Literal["smoke", "mini", "full"] = "mini"  # how much to run
"""

import ast
import contextlib
import difflib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError

from qlab.core import paths
from qlab.core.errors import QlabError

_TYPES = {t.__name__: t for t in (bool, int, float, str, list)} | {"Literal": Literal}
_SPELLED = (ast.Name, ast.Subscript, ast.Constant, ast.Tuple, ast.BinOp, ast.BitOr, ast.Load)
_STRICT = ConfigDict(strict=True, allow_inf_nan=False)  # True and 1.5 are no int; 1 is a float


class Parameter(NamedTuple):
    """One line of the parameters cell: its annotation and its value."""

    type: Any  # the annotation, evaluated
    default: Any  # the value in the cell

    def checked(self, value: Any) -> Any:
        """A Python value as the parameter takes it; pydantic's error if it is of another type."""
        return TypeAdapter(self.type, config=_STRICT).validate_python(value)

    def parsed(self, text: str) -> Any:
        """What a command line's text stands for: JSON, Python, a list with commas, or the text."""
        meant = text if self.type is str else _read(text)
        if get_origin(self.type) is list and not text.lstrip().startswith("["):
            [item] = get_args(self.type)
            parts = [part.strip() for part in text.split(",")] if text.strip() else []
            meant = parts if item is str else [_read(part) for part in parts]
        for meaning in (meant, text):  # a choice or a union may take the text itself
            with contextlib.suppress(ValidationError):
                return self.checked(meaning)
        return self.checked(meant)


def _read(text: str) -> Any:
    """The value of a text read as JSON, else as Python; else the text itself."""
    for read in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return read(text)
    return text


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


def parameters_of(nb: Any, title: str) -> dict[str, Parameter]:
    """The parameters that a notebook declares, in order; `title` names it in a QlabError."""
    declared: dict[str, Parameter] = {}
    line = parameters_cell(nb, title)
    try:
        for statement in ast.parse(line).body:
            line = ast.unparse(statement)
            if line != "from typing import Literal":
                name, parameter = _parameter(statement)
                if declared.setdefault(name, parameter) is not parameter:
                    raise ValueError(f"{name} is there twice")
    except (AttributeError, NameError, SyntaxError, TypeError, ValueError) as error:
        raise QlabError(
            f"The parameters cell of {title} must hold lines `name: type = literal`, of "
            f"the types {', '.join(_TYPES)}, and not `{' '.join(line.split())}`."
        ) from error
    return declared


def _parameter(line: ast.stmt) -> tuple[str, Parameter]:
    """The name and the Parameter that a statement declares; an error if it has another form."""
    if not all(isinstance(node, _SPELLED) for node in ast.walk(line.annotation)):
        raise ValueError("no annotation of names and literals")
    kind = eval(ast.unparse(line.annotation), {"__builtins__": {}, **_TYPES})
    parameter = Parameter(kind, ast.literal_eval(line.value))
    parameter.checked(parameter.default)
    return line.target.id, parameter


def parse_for(
    declared: dict[str, Parameter], assignments: Iterable[str], title: str
) -> dict[str, Any]:
    """The typed values of texts `name=value`; `title` names the notebook in a QlabError."""
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise QlabError(f"A parameter of {title} is name=value; {assignment!r} has no `=`.")
        if name in values:
            raise QlabError(f"The parameter {name} of {title} is given twice; give it once.")
        if name not in declared:
            close = difflib.get_close_matches(name, declared, n=1, cutoff=0.5)
            hint = f" (did you mean {close[0]}?)" if close else ""
            known = ", ".join(declared)
            raise QlabError(f"{title} has no parameter {name!r}{hint}; its parameters: {known}.")
        try:
            values[name] = declared[name].parsed(text)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise QlabError(f"{title} cannot have {name}={text!r}: {reason}.") from error
    return values
