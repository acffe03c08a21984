"""The command line: `qlab run NOTEBOOK`, `parameters`, `compare`; `point` and `merge` of a sweep.

Exit codes: 0 done, 1 the notebook failed or the compared runs differ, 2 something given is wrong,
130 interrupted.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from qlab.core.errors import QlabError
from qlab.core.secrets import known, redact

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run qlab's notebooks, compare runs.",
)
Notebook = Annotated[str, typer.Argument(help='a path, or a number or name of notebooks/: "01"')]
Place = Annotated[Path, typer.Argument(help="a clone, a folder of records, or one csv")]
Target = Annotated[Path, typer.Option(help="the csv file for the records")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say (default: the process's own) and return the exit code."""
    code, said = 0, ""
    try:
        code = app(arguments, prog_name="qlab", standalone_mode=False) or 0
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
def run(
    notebook: Notebook,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="NAME=VALUE, repeatable")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="default: build/<profile>/notebooks/<name>.ipynb")
    ] = None,
) -> None:
    """Execute a notebook, checked beforehand."""
    from qlab.run import notebook as notebooks  # papermill is only needed here

    print(notebooks.run(notebook, parameter or (), output))


@app.command()
def parameters(notebook: Notebook) -> None:
    """List what a notebook can be given."""
    from rich.console import Console
    from rich.table import Table

    from qlab.run.parameters import as_text, find_notebook, read_parameters

    table = Table("name", "type", "default", "comment", box=None, pad_edge=False)
    for one in read_parameters(find_notebook(notebook)).values():
        kind = ", ".join(map(as_text, one.choices)) or getattr(one.type, "__name__", str(one.type))
        table.add_row(one.name, kind, as_text(one.default) or '""', one.help)
    Console(width=None if sys.stdout.isatty() else 200, markup=False).print(table)


@app.command()
def compare(
    a: Place,
    b: Place,
    profile: Annotated[str, typer.Option(help="of a clone's records")] = "mini",
    tolerance: Annotated[float, typer.Option(help="of floats, as a share")] = 1e-6,
    regressions_only: Annotated[
        bool, typer.Option("--regressions-only", help="let what merely differs pass")
    ] = False,
    rows: Annotated[int, typer.Option(help="shown of each kind")] = 20,
) -> None:
    """Whether two runs have the same deterministic records, and what regressed."""
    from qlab.run import compare as comparing  # pandas is only needed here

    before, after = comparing.load(a, profile), comparing.load(b, profile)
    found = comparing.compare(before, after, tolerance)
    passed = found.passes(regressions_only)
    print(comparing.report(found, passed, rows))
    if not passed:
        raise typer.Exit(1)


@app.command()
def point(
    experiment: Annotated[str, typer.Argument(help="llama_gptq or resnet_qat")],
    values: Annotated[list[str], typer.Argument(help="AXIS=VALUE: method=rtn bits=4")],
    output: Target,
    profile: str = "mini",
    threads: Annotated[int, typer.Option(help="CPU threads")] = 1,
    killed: Annotated[
        int, typer.Option(help="measure nothing, but record that it was killed so many times")
    ] = 0,
) -> None:
    """Measure one point of a sweep (`make sweep`)."""
    from qlab.run import sweep

    chosen = sweep.parsed(experiment, values)
    if reason := sweep.run(experiment, profile, chosen, output, threads, killed):
        print(f"qlab: {output.stem} failed: {reason}", file=sys.stderr)


@app.command()
def merge(
    sweeps: Annotated[Path, typer.Argument(help="the description, such as workflow/sweeps.yaml")],
    name: Annotated[str, typer.Argument(help="the sweep's name in it")],
    points: Annotated[Path, typer.Option(help="the folder of the points' files")],
    output: Target,
) -> None:
    """Join the points of a sweep (`make sweep`)."""
    from qlab.run import sweep

    described = sweep.read(sweeps, name)
    print(sweep.summary(described, sweep.merge(described, points, output)))
