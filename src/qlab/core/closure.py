"""What a notebook or module depends on: the qlab modules it imports, directly or through others.

Read from the source by `ast`, without importing anything, so that it is quick
and pulls in no framework.
"""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager

from qlab.core.errors import QlabError

_PACKAGE = Path(__file__).resolve().parents[1]
_PYTHON_MAGICS = {"%%capture", "%%prun", "%%time", "%%timeit"}


def module_files(source: Path) -> list[Path]:
    """Files of the qlab modules that a notebook's or module's code imports, transitively, sorted.

    Imports inside functions count, and modules started with `-m`; IPython magics
    and shell lines do not.
    Raises QlabError where the notebook, or a module, is not readable as such.
    """
    found: set[Path] = set()
    code = source.read_text(encoding="utf-8") if source.suffix == ".py" else _notebook_code(source)
    waiting = list(_imported(code, source))
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += _imported(module.read_text(encoding="utf-8"), module)
    return sorted(found)


def source_of(module: str) -> Path:
    """The file of a qlab module, from its `__name__`."""
    *_, file = _files(module)
    return file


def place_of(file: Path) -> str:
    """A module's file as the package's own folder has it, such as `core/cache.py`."""
    return file.relative_to(_PACKAGE).as_posix()


def _notebook_code(notebook: Path) -> str:
    """The code cells as one piece of Python."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise QlabError(f"{notebook} is not readable as a notebook: {error}.") from error
    return "\n".join(_as_python(cell) for cell in code)


def _as_python(cell: str) -> str:
    """A cell with IPython's own syntax (%magic, !shell, help?) turned into calls.

    %%time and the like run Python, whose imports count; %%bash and its kin do not.
    """
    magic, _, rest = cell.lstrip().partition("\n")
    if magic.startswith("%%"):
        cell = rest if magic.split()[0] in _PYTHON_MAGICS else ""
    return TransformerManager().transform_cell(cell)


def _imported(code: str, source: Path) -> Iterator[Path]:
    """Files of the qlab modules that a piece of Python imports or starts."""
    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        raise QlabError(f"{source}: its imports cannot be read, {error}.") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, source)
            # `from qlab import paths` may name a module or something defined in qlab itself.
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Constant) and str(node.value).startswith("qlab."):
            # Started by name in a process of its own: ["-m", "qlab.detector.detect"].
            names = [str(node.value)]
        else:
            continue
        for name in names:
            yield from _files(name)


def _absolute(node: ast.ImportFrom, source: Path) -> str:
    """The dotted name that `from <...> import` starts at, a relative one resolved."""
    if not node.level:
        return node.module or ""
    parts = ["qlab", *source.resolve().relative_to(_PACKAGE).parts[: -node.level]]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _files(name: str) -> Iterator[Path]:
    """The file of a dotted name, and of the packages around it, as far as they are qlab's."""
    parts = name.split(".")
    if parts[0] != "qlab":
        return
    for end in range(1, len(parts) + 1):
        place = _PACKAGE.joinpath(*parts[1:end])
        yield from (f for f in (place / "__init__.py", place.with_suffix(".py")) if f.is_file())
