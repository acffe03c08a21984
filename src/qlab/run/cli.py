"""The command line: `qlab run NOTEBOOK`, `parameters`, `compare`, `new`; `point` and `merge`.

Exit codes: 0 done, 1 the notebook failed or the compared runs differ, 2 something given is wrong,
130 interrupted.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from qlab.core.errors import QlabError
from qlab.core.secrets import known, redact
from qlab.run.parameters import Parameter, as_text, find_notebook, read_parameters

_NOTEBOOK = 'a path, or the number or name of a notebook under notebooks/, such as "01"'


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say (default: the process's own) and return the exit code."""
    try:
        given = _parser().parse_args(arguments)
        return given.command(given)
    except KeyboardInterrupt:
        print("qlab: interrupted; nothing was written.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read what is printed (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except QlabError as error:
        message = redact(str(error), known())
        print(f"qlab: {message}", file=sys.stderr)
        return getattr(error, "exit_code", 2)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong as every other error is said, and redacted like it."""

    def error(self, message: str) -> NoReturn:
        raise QlabError(f"{message}; `{self.prog} --help` tells what is expected.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m qlab", description="Run qlab's notebooks, compare runs.")
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
    new = commands.add_parser("new", help="write the files of a new experiment")
    new.add_argument("name", help="two digits and a name, such as 06_round_a_bell_curve")
    new.set_defaults(command=_new)
    _add_compare(commands)
    _add_point(commands.add_parser("point", help="measure one point of a sweep (`make sweep`)"))
    merge = commands.add_parser("merge", help="join the points of a sweep (`make sweep`)")
    merge.add_argument("sweeps", type=Path, help="the description, such as workflow/sweeps.yaml")
    merge.add_argument("name", help="the sweep's name in it")
    merge.add_argument("--points", type=Path, required=True, help="the folder of the points' files")
    merge.add_argument("--output", type=Path, required=True, help="the csv file of all records")
    merge.set_defaults(command=_merge)
    return parser


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser(
        "compare", help="whether two runs have the same deterministic records, and what regressed"
    )
    for name in ("a", "b"):
        compare.add_argument(
            name, type=Path, metavar=name.upper(), help="a clone, a folder of records, or one csv"
        )
    compare.add_argument("--profile", default="mini", help="of a clone's records (default: mini)")
    compare.add_argument(
        "--tolerance", type=float, default=1e-6, help="of floats, as a share (default: 1e-6)"
    )
    compare.add_argument(
        "--regressions-only", action="store_true", help="let what merely differs pass"
    )
    compare.add_argument("--rows", type=int, default=20, help="shown of each kind (default: 20)")
    compare.set_defaults(command=_compare)


def _add_point(point: argparse.ArgumentParser) -> None:
    point.add_argument("experiment", help="llama_gptq or resnet_qat")
    point.add_argument("values", nargs="+", metavar="AXIS=VALUE", help="such as method=rtn bits=4")
    point.add_argument("--profile", choices=("smoke", "mini", "full"), default="mini")
    point.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    point.add_argument("--output", type=Path, required=True, help="the csv file for its records")
    point.add_argument(
        "--killed", type=int, default=0, metavar="N",
        help="measure nothing, but record that the point was killed N times",
    )  # fmt: skip
    point.set_defaults(command=_point)


def _run(given: argparse.Namespace) -> int:
    from qlab.run import notebook  # papermill is only needed here

    print(notebook.run(given.notebook, given.parameter, given.output))
    return 0


def _show(given: argparse.Namespace) -> int:
    declared = read_parameters(find_notebook(given.notebook))
    print(table(declared.values()))
    return 0


def _compare(given: argparse.Namespace) -> int:
    from qlab.run import compare, compare_words  # pandas is only needed here

    a, b = (compare.load(place, given.profile) for place in (given.a, given.b))
    found = compare.compare(a, b, given.tolerance)
    passed = found.passes(given.regressions_only)
    print(compare_words.report(found, passed, given.rows))
    return 0 if passed else 1


def _new(given: argparse.Namespace) -> int:
    from qlab.run import new_experiment  # jinja2 is only needed here

    print(*new_experiment.create(given.name), sep="\n")
    return 0


def _point(given: argparse.Namespace) -> int:
    from qlab.run import sweep_point

    values = sweep_point.parsed(given.experiment, given.values)
    here = (given.experiment, given.profile, values, given.output)
    if given.killed:
        reason = f"killed {given.killed} times before it could write (memory, time, a lost node?)"
        sweep_point.give_up(*here, reason)
    else:
        reason = sweep_point.run(*here, given.threads)
    if reason:
        print(f"qlab: {given.output.stem} failed: {reason}", file=sys.stderr)
    return 0


def _merge(given: argparse.Namespace) -> int:
    from qlab.run import sweep as sweeps
    from qlab.run import sweep_merge

    sweep = sweeps.read(given.sweeps, given.name)
    print(sweep_merge.summary(sweep, sweep_merge.merge(sweep, given.points, given.output)))
    return 0


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
