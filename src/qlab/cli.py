"""The command line: `qlab run NOTEBOOK` and `qlab parameters NOTEBOOK`.

Exit codes: 0 done, 1 the notebook failed, 2 something given is wrong, 130 interrupted.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from qlab.errors import QlabError
from qlab.parameters import Parameter, as_text, find_notebook, read_parameters
from qlab.secrets import known, redact

_NOTEBOOK = 'a path, or the number or name of a notebook under notebooks/, such as "01"'


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say (default: the process's own) and return the exit code."""
    try:
        given = _parser().parse_args(arguments)
        given.command(given)
    except KeyboardInterrupt:
        print("qlab: interrupted; nothing was written.", file=sys.stderr)
        return 130
    except QlabError as error:
        message = redact(str(error), known())
        print(f"qlab: {message}", file=sys.stderr)
        return getattr(error, "exit_code", 2)
    return 0


class _Parser(argparse.ArgumentParser):
    """Says what is wrong as every other error is said, and redacted like it."""

    def error(self, message: str) -> NoReturn:
        raise QlabError(f"{message}; `{self.prog} --help` tells what is expected.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m qlab", description="Run qlab's notebooks.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="execute a notebook, checked beforehand")
    run.add_argument("notebook", help=_NOTEBOOK)
    run.add_argument(
        "-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", help="repeatable"
    )
    run.add_argument(
        "--output",
        type=Path,
        help="the executed notebook (default: build/<profile>/notebooks/<name>.ipynb)",
    )
    run.set_defaults(command=_run)
    show = commands.add_parser("parameters", help="list what a notebook can be given")
    show.add_argument("notebook", help=_NOTEBOOK)
    show.set_defaults(command=_show)
    return parser


def _run(given: argparse.Namespace) -> None:
    from qlab import runner  # papermill is only needed here

    print(runner.run(given.notebook, given.parameter, given.output))


def _show(given: argparse.Namespace) -> None:
    declared = read_parameters(find_notebook(given.notebook))
    print(table(declared.values()))


def table(declared: Iterable[Parameter]) -> str:
    """The parameters in aligned columns, under a header."""
    header = ("name", "type", "choices", "default", "comment")
    rows = [header, *(_row(parameter) for parameter in declared)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _row(parameter: Parameter) -> tuple[str, ...]:
    choices = ", ".join(map(as_text, parameter.choices)) or "-"
    default: Any = as_text(parameter.default) or '""'
    return parameter.name, parameter.kind, choices, default, parameter.help
