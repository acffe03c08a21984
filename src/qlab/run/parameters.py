"""A notebook's parameters cell as an interface: typed, commented, checked, never executed.

The cell holds lines like these, and nothing else but `from typing import Literal`:

    profile: Literal["smoke", "mini", "full"] = "mini"  # how much to run
    threads: int = 2  # CPU threads of the interpreter
"""

import ast
import difflib
import io
import json
import os
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError

from qlab.core import paths
from qlab.core.errors import QlabError

_TYPES = {t.__name__: t for t in (bool, int, float, str, list)} | {"Literal": Literal}
_SPELLED = (ast.Name, ast.Subscript, ast.Constant, ast.Tuple, ast.BinOp, ast.BitOr, ast.Load)
_STRICT = ConfigDict(strict=True, allow_inf_nan=False)  # True and 1.5 are no int; 1 is a float


@dataclass(frozen=True)
class Parameter:
    """One line of the parameters cell."""

    name: str  # as it is assigned
    type: Any  # its annotation
    default: Any  # the value in the cell
    help: str  # the comment behind it

    @property
    def choices(self) -> tuple[Any, ...]:
        """Those of a Literal; empty for other types."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    def checked(self, value: Any) -> Any:
        """A Python value as the parameter has it; pydantic's error if it is of another type."""
        return TypeAdapter(self.type, config=_STRICT).validate_python(value)

    def parsed(self, text: str) -> Any:
        """The first meaning of a command line's text that fits; an error if none does."""
        errors = []
        for meaning in [text] if self.type is str else _meanings(text):
            try:
                return self.checked(meaning)
            except ValidationError as error:
                errors.append(error)
        raise errors[0]


def _meanings(text: str) -> Iterator[Any]:
    """What a text may stand for: a value, several separated by commas, or itself."""
    yield from _literals(text)
    if not text.lstrip().startswith("["):
        parts = [part.strip() for part in text.split(",")] if text.strip() else []
        yield [value for part in parts for value in [*_literals(part), part][:1]]
        yield parts
    yield text


def _literals(text: str) -> Iterator[Any]:
    """The value that a text is in JSON, or else in Python; none where it is neither."""
    for read in (json.loads, ast.literal_eval):
        try:
            yield read(text)
            return
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue


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

    try:
        text = path.read_text(encoding="utf-8")
        nbformat.validate(nbformat.from_dict(json.loads(text)), version=4)
        return nbformat.reads(text, as_version=4)
    except OSError as error:
        raise QlabError(f"The notebook {path} cannot be read ({error.strerror}).") from error
    except Exception as error:  # nbformat has as many of them as there are ways to be none
        reason = f"{type(error).__name__}: {getattr(error, 'message', error)}"[:200]
        raise QlabError(f"{path} is not a notebook (JSON, nbformat 4): {reason}.") from error


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
    source = tagged[0].source
    try:
        statements = ast.parse(source).body
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (SyntaxError, ValueError) as error:
        raise QlabError(f"The parameters cell of {title} is not Python: {error}.") from error
    comments = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
    declared: dict[str, Parameter] = {}
    for statement in statements:
        if ast.unparse(statement) == "from typing import Literal":
            continue
        parameter = _parameter(statement, comments, title)
        if parameter.name in declared:
            raise QlabError(f"The parameters cell of {title} declares {parameter.name} twice.")
        declared[parameter.name] = parameter
    return declared


def _parameter(statement: ast.stmt, comments: dict[int, str], title: str) -> Parameter:
    """A Parameter from one statement. QlabError says which line is not of the form."""
    place = f"`{ast.unparse(statement)}` in the parameters cell of {title}"
    lines = range(statement.lineno, statement.end_lineno + 1)
    comment = " ".join(comments[n] for n in lines if comments.get(n))
    try:
        name, default = statement.target.id, ast.literal_eval(statement.value)
        parameter = Parameter(name, _annotation(statement.annotation), default, comment)
        parameter.checked(default)
    except (AttributeError, NameError, TypeError, ValueError) as error:
        raise QlabError(
            f"{place} is not of the form `name: type = literal  # comment`, where the type is made "
            f"of {', '.join(_TYPES)} and the literal is of it."
        ) from error
    if not comment:
        raise QlabError(f"{place} lacks its comment, which is what a user reads about {name}.")
    return parameter


def _annotation(node: ast.expr) -> Any:
    """The type that an annotation spells; ValueError or NameError for what is none of ours."""
    if not all(isinstance(part, _SPELLED) for part in ast.walk(node)):
        raise ValueError("an annotation is made of names and literals")
    return eval(ast.unparse(node), {"__builtins__": {}, **_TYPES})


def parse_for(
    declared: dict[str, Parameter], assignments: Iterable[str], title: str
) -> dict[str, Any]:
    """The typed values of `name=value` texts; `title` names the notebook that declares them.

    QlabError: no =, a name twice or unknown, a value of another type.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise QlabError(f"A parameter of {title} is name=value; {assignment!r} has no `=`.")
        if name in values:
            raise QlabError(f"The parameter {name} of {title} is given twice; give it once.")
        if name not in declared:
            closest = difflib.get_close_matches(name, declared, n=1, cutoff=0.5)
            hint = f" (did you mean {closest[0]}?)" if closest else ""
            known = ", ".join(declared) or "none"
            raise QlabError(f"{title} has no parameter {name!r}{hint}; its parameters: {known}.")
        try:
            values[name] = declared[name].parsed(text)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise QlabError(f"{title} cannot have {name}={text!r}: {reason}.") from error
    return values
