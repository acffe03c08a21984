"""The command line: `qlab run NOTEBOOK`, `parameters`, `compare`.

Exit codes: 0 done; 1 the notebook failed or the compared runs differ; 2 an argument or file is
wrong; 130 interrupted. What only one command needs is imported in that command.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from qlab.core.errors import QlabError
from qlab.core.secrets import known, redact

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
Notebook = Annotated[str, typer.Argument(help='a path, or a number or name of notebooks/: "01"')]
Given = Annotated[list[str] | None, typer.Option("--parameter", "-p", help="NAME=VALUE, repeated")]
Place = Annotated[Path, typer.Argument(help="a clone, a folder of records, or one csv")]


def main(arguments: Sequence[str] | None = None, commands: typer.Typer = app) -> int:
    """Do what the arguments say (default: those of the process) and return the exit code."""
    code, said = 0, ""
    try:
        code = commands(arguments, prog_name="qlab", standalone_mode=False) or 0
    except QlabError as error:
        code, said = getattr(error, "exit_code", 2), str(error)
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer's own errors have it
            raise
        wrong = error.format_message().rstrip(".")
        code, said = 2, f"{wrong}; `python -m qlab --help` tells what is expected."
    if code == 130:
        said = "interrupted; nothing was written."
    if said:
        print(f"qlab: {redact(' '.join(said.split()), known())}", file=sys.stderr)
    return code


@app.command()
def run(notebook: Notebook, parameter: Given = None, output: Path | None = None) -> None:
    """Execute a notebook, checked, into --output or build/<profile>/notebooks/<name>.ipynb."""
    from qlab.run import notebook as notebooks

    print(notebooks.run(notebook, parameter or (), output))


@app.command()
def parameters(notebook: Notebook) -> None:
    """Print the cell that says what a notebook can be given."""
    from qlab.run.parameters import find_notebook, parameters_cell, read_notebook

    path = find_notebook(notebook)
    print(parameters_cell(read_notebook(path), path.name))


@app.command()
def compare(
    a: Place,
    b: Place,
    profile: Annotated[str, typer.Option(help="of a clone's records")] = "mini",
    tolerance: Annotated[float, typer.Option(help="of floats, as a share")] = 1e-6,
    rows: Annotated[int, typer.Option(help="shown of each kind")] = 20,
) -> None:
    """Whether two runs have the same deterministic records."""
    from qlab.run import compare as comparing

    before, after = comparing.load(a, profile), comparing.load(b, profile)
    found = comparing.compare(before, after, tolerance)
    print(comparing.report(found, rows))
    if found["kind"].isin(comparing.BAD).any():
        raise typer.Exit(1)
