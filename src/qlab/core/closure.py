"""What a notebook or module depends on: the qlab modules it imports, directly or through others.

Found with the standard library's `modulefinder`, which imports nothing, so no framework is loaded.
"""

import io
import json
from collections.abc import Iterable
from modulefinder import ModuleFinder
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager

from qlab.core.errors import QlabError


def package() -> Path:
    """The folder of the qlab package."""
    return Path(__file__).resolve().parents[1]


def imported(code: str, name: str = "code") -> dict[str, Path]:
    """Files, by module name, of the qlab modules that Python code imports, directly or not; imports
    inside functions count. SyntaxError in the code, whose file is called `name`, or in a module."""
    finder = _Finder()
    finder.load_module("__main__", io.StringIO(code), name, ("", "r", 1))  # 1: source
    del finder.modules["__main__"]
    return {name: Path(found.__file__) for name, found in finder.modules.items() if found.__file__}


class _Finder(ModuleFinder):
    """Follows only the package's own modules, whatever else is installed."""

    def find_module(self, name, path, parent=None):
        if path is None and name != package().name:  # a top level
            raise ImportError(name)
        return super().find_module(name, path or [str(package().parent)], parent)


def metrics(modules: Iterable[Path]) -> set[Path]:
    """The files that define the metrics of these modules' rooms; see `records.metrics`."""
    return {table for module in modules for table in module.parent.glob("metrics.yaml")}


def module_files(notebook: Path) -> list[Path]:
    """Sorted files of the qlab modules that a notebook's cells import, and of their metrics;
    IPython's magics and shell lines are ignored. QlabError if it cannot be read as a notebook, or
    its code not as Python."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        found = imported("\n".join(_as_python(cell) for cell in code), str(notebook)).values()
        return sorted({*found, *metrics(found)})
    except (OSError, ValueError, KeyError, TypeError, SyntaxError) as error:
        raise QlabError(f"{notebook} is not readable as a notebook: {error}.") from error


def _as_python(cell: str) -> str:
    """A cell with IPython's own syntax (%magic, !shell, help?) turned into calls. %%time and
    %%timeit run Python, whose imports count; %%bash and the like do not."""
    magic, _, rest = cell.partition("\n")
    return TransformerManager().transform_cell(rest if magic.startswith("%%time") else cell)
