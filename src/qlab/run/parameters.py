"""A notebook's parameters cell as an interface: typed, commented, checked, never executed.

The cell holds lines like these, and nothing else but `from typing import Literal`:

    profile: Literal["smoke", "mini", "full"] = "mini"  # how much to run
    threads: int = 2  # CPU threads of the interpreter
"""

import ast
import difflib
import io
import json
import math
import os
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qlab.core import paths
from qlab.core.errors import QlabError

_ALLOWED = {
    "bool": "true or false",
    "int": "a whole number such as 4",
    "float": "a finite number such as 0.5",
    "str": "any text",
    "list[int]": "whole numbers, as JSON or separated by commas",
    "list[float]": "finite numbers, as JSON or separated by commas",
    "list[str]": "texts, as JSON or separated by commas",
}
_FORM = "`name: type = literal  # comment`"


@dataclass(frozen=True)
class Parameter:
    """One line of the parameters cell; `kind` is a key of `_ALLOWED`, or "Literal"."""

    name: str  # as it is assigned
    kind: str
    choices: tuple[Any, ...]  # of a Literal; empty for other kinds
    default: Any  # the value in the cell
    help: str  # the comment behind it

    @property
    def allowed(self) -> str:
        """What a value may be, in words."""
        shown = ", ".join(map(as_text, self.choices))
        return f"one of {shown}" if self.choices else _ALLOWED[self.kind]


def as_text(value: Any) -> str:
    """A value as it is written on the command line: text bare, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def find_notebook(named: str | Path) -> Path:
    """The notebook at a path, or of that number ("01") or stem under notebooks/.

    QlabError: none, or more than one.
    """
    text, folder = str(named), paths.home() / "notebooks"
    if os.path.isfile(text):  # unlike Path.is_file, no exception for a name that is too long
        return Path(text).absolute()
    numbered = sorted(folder.glob(f"{text}_*.ipynb")) if text.isdecimal() else []
    known = [p for p in sorted(folder.rglob("*.ipynb")) if ".ipynb_checkpoints" not in p.parts]
    found = numbered or [p for p in known if text in (p.stem, p.name)]
    if len(found) == 1:
        return found[0]
    stems = ", ".join(p.stem for p in found or known) or "none"
    raise QlabError(
        f"{text} is {'more than one' if found else 'no'} notebook; give a path, or a number or "
        f"name of those in {folder}: {stems}."
    )


def read_notebook(path: Path) -> Any:
    """The notebook (nbformat 4). QlabError if it is missing, unreadable or not a notebook."""
    import nbformat  # takes a second, which `qlab --help` need not wait for

    # nbformat says ValidationError of most malformed files, and stumbles over the others.
    malformed = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
    try:
        text = path.read_text(encoding="utf-8")
        raw = json.loads(text)
        if raw["nbformat"] != 4:
            raise ValueError(f"nbformat is {raw['nbformat']}, not 4")
        nbformat.validate(nbformat.from_dict(raw))
        return nbformat.reads(text, as_version=4)
    except OSError as error:
        raise QlabError(
            f"The notebook {path} cannot be read ({error.strerror}); check the path."
        ) from error
    except (nbformat.ValidationError, *malformed) as error:
        reason = f"{type(error).__name__}: {getattr(error, 'message', error)}"[:200]
        raise QlabError(
            f"{path} is not a notebook (JSON, nbformat 4); reading it stopped with {reason}."
        ) from error


def read_parameters(path: Path) -> dict[str, Parameter]:
    """The parameters a notebook file declares, by name, in the order of the cell."""
    return parameters_of(read_notebook(path), path.name)


def parameters_of(nb: Any, title: str) -> dict[str, Parameter]:
    """The parameters a notebook declares; `title` names it in a QlabError."""
    tagged = [cell for cell in nb.cells if "parameters" in cell.metadata.get("tags", [])]
    if [cell.cell_type for cell in tagged] != ["code"]:
        found = ", ".join(f"a {cell.cell_type} cell" for cell in tagged) or "none"
        raise QlabError(
            f"{title} must have exactly one cell tagged `parameters`, a code cell; found: {found}."
        )
    return _declared(tagged[0].source, title)


def _declared(source: str, title: str) -> dict[str, Parameter]:
    try:
        statements = ast.parse(source).body
        comments = _comments(source)
    except (SyntaxError, ValueError) as error:
        raise QlabError(f"The parameters cell of {title} is not Python: {error}.") from error
    declared: dict[str, Parameter] = {}
    for statement in statements:
        if _imports_literal(statement):
            continue
        lines = range(statement.lineno, statement.end_lineno + 1)
        comment = " ".join(comments[n] for n in lines if comments.get(n))
        parameter = _parameter(statement, comment, title)
        if parameter.name in declared:
            raise QlabError(f"The parameters cell of {title} declares {parameter.name} twice.")
        declared[parameter.name] = parameter
    return declared


def _comments(source: str) -> dict[int, str]:
    """Comments without their #, by line number from 1."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}


def _imports_literal(statement: ast.stmt) -> bool:
    return ast.unparse(statement) == "from typing import Literal"


def _parameter(statement: ast.stmt, comment: str, title: str) -> Parameter:
    """A Parameter from one statement. QlabError says which line is not of the form."""
    place = f"`{ast.unparse(statement)}` in the parameters cell of {title}"
    if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
        raise QlabError(f"{place} is not of the form {_FORM}.")
    name = statement.target.id
    try:
        kind, choices = _annotation(statement.annotation)
        default = ast.literal_eval(statement.value)
    except (ValueError, TypeError) as error:
        raise QlabError(
            f"{place} is not of the form {_FORM}, the type being Literal[...] or one of "
            f"{', '.join(_ALLOWED)}."
        ) from error
    if not comment:
        raise QlabError(f"{place} lacks its comment, which is what a user reads about {name}.")
    parameter = Parameter(name, kind, choices, default, comment)
    if not _fits(default, parameter):
        raise QlabError(f"The default of {place} must be {parameter.allowed}.")
    return parameter


def _annotation(node: ast.expr) -> tuple[str, tuple[Any, ...]]:
    """Kind and choices. ValueError or TypeError for an annotation that is not supported."""
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal":
        inner = ast.literal_eval(node.slice)
        choices = inner if isinstance(inner, tuple) else (inner,)
        if not all(type(choice) in (str, int, bool) for choice in choices):
            raise ValueError("choices must be text, whole numbers or booleans")
        return "Literal", choices
    kind = ast.unparse(node)
    if kind not in _ALLOWED:
        raise ValueError("unknown type")
    return kind, ()


def _fits(value: Any, parameter: Parameter) -> bool:
    """Whether a value, already of a Python type, is one the parameter may have."""
    if parameter.kind == "Literal":
        return any(type(value) is type(c) and value == c for c in parameter.choices)
    if not parameter.kind.startswith("list"):
        return _is(parameter.kind, value)
    return type(value) is list and all(_is(parameter.kind[5:-1], item) for item in value)


def _is(kind: str, value: Any) -> bool:
    """Strictly: True is no int, 1.5 is no int, 1 is a float, nan and infinity are not."""
    if kind == "float":
        return type(value) in (int, float) and math.isfinite(value)
    return type(value).__name__ == kind


def parse_assignments(path: Path, assignments: Iterable[str]) -> dict[str, Any]:
    """The typed values of `name=value` texts for a notebook. QlabError, one sentence, if bad."""
    return parse_for(read_parameters(path), assignments, path.name)


def parse_for(
    declared: dict[str, Parameter], assignments: Iterable[str], title: str
) -> dict[str, Any]:
    """As `parse_assignments`, for parameters already read; `title` names their notebook.

    QlabError: no =, a name twice or unknown, a value of another type.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise QlabError(
                f"A parameter of {title} is given as name=value, for example "
                f"{_example(declared)}, but {assignment!r} has no `=`."
            )
        if name in values:
            raise QlabError(f"The parameter {name} of {title} is given twice; give it once.")
        if name not in declared:
            raise QlabError(_unknown(name, assignment, declared, title))
        values[name] = _converted(declared[name], text, title)
    return values


def _example(declared: dict[str, Parameter]) -> str:
    first = next(iter(declared.values()), None)
    return f"{first.name}={as_text(first.default)}" if first else "threads=2"


def _unknown(name: str, given: str, declared: dict[str, Parameter], title: str) -> str:
    closest = difflib.get_close_matches(name, declared, n=1, cutoff=0.5)
    hint = f" (did you mean {closest[0]}?)" if closest else ""
    known = ", ".join(declared) or "none"
    return f"{title} has no parameter {name!r}, given as {given!r}{hint}; its parameters: {known}."


def _converted(parameter: Parameter, text: str, title: str) -> Any:
    try:
        value = _value(parameter, text)
        if _fits(value, parameter):
            return _as_declared(value, parameter.kind)
    except (ValueError, OverflowError, RecursionError):
        value = None  # not even JSON: refused below like a value of another type
    raise QlabError(
        f"The parameter {parameter.name} of {title} must be {parameter.allowed}, not {text!r}."
    )


def _value(parameter: Parameter, text: str) -> Any:
    """What the text says, of whatever type. ValueError if it says nothing."""
    if parameter.kind == "Literal":
        return next((choice for choice in parameter.choices if as_text(choice) == text), None)
    item = parameter.kind.removeprefix("list[").removesuffix("]")
    if item != parameter.kind and not text.lstrip().startswith("["):
        parts = text.split(",") if text.strip() else []
        return [part.strip() if item == "str" else json.loads(part) for part in parts]
    return text if parameter.kind == "str" else json.loads(text)


def _as_declared(value: Any, kind: str) -> Any:
    """A whole number given for a float, as a float."""
    if kind == "list[float]":
        return [float(item) for item in value]
    return float(value) if kind == "float" else value
