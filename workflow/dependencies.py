"""The files of qlab that a notebook depends on: where one changes, its results are stale."""

import json
from collections.abc import Iterable
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager

from qlab.core.closure import imported
from qlab.core.errors import QlabError


def tables(modules: Iterable[Path]) -> set[Path]:
    """The yaml files beside modules, such as the metrics of their rooms (`records.metrics`)."""
    return {table for module in modules for table in module.parent.glob("*.yaml")}


def module_files(notebook: Path) -> list[Path]:
    """Sorted files of the qlab modules that a notebook's cells import, and of the tables beside
    them; IPython's magics and shell lines are ignored. QlabError if it cannot be read as a
    notebook, or its code not as Python."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        found = imported("\n".join(_as_python(cell) for cell in code), str(notebook)).values()
        return sorted({*found, *tables(found)})
    except (OSError, ValueError, KeyError, TypeError, SyntaxError) as error:
        raise QlabError(f"{notebook} is not readable as a notebook: {error}.") from error


def _as_python(cell: str) -> str:
    """A cell with IPython's own syntax (%magic, !shell, help?) turned into calls. %%time and
    %%timeit run Python, whose imports count; %%bash and the like do not."""
    magic, _, rest = cell.partition("\n")
    return TransformerManager().transform_cell(rest if magic.startswith("%%time") else cell)
