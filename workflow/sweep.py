"""A sweep: the grid that `sweeps.yaml` describes, its points measured, and their table.

    python workflow/sweep.py point EXPERIMENT AXIS=VALUE ... --output CSV
    python workflow/sweep.py merge SWEEPS NAME --points FOLDER --output CSV

`swept/` says what can be swept, a module for each experiment. A point is a row of values, and
its name is its file's name: Snakemake's Paramspace would name files too, but wants a value in every
column, and methods lack axes that others have. No framework is loaded until a point is measured,
because Snakemake reads this file for every job.
"""

import functools
import importlib
import itertools
import json
import os
import re
import sys
import time
import traceback
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import dependencies
import typer
import yaml
from pydantic import BaseModel, Field, ValidationError
from swept.point import Point

from qlab.core import closure, paths
from qlab.core.cache import file_sha256, hash_json, written_whole
from qlab.core.errors import QlabError
from qlab.core.parameters import Positive
from qlab.core.secrets import known, redact
from qlab.run import cli

EXPERIMENTS = ("llama_gptq", "resnet_qat")  # modules of swept/
FAILED = "failed"  # metric of a point that gave nothing else
UNKNOWN = "unknown"  # its data set, which it never read
app = typer.Typer(help="What `make sweep` runs.")
Target = Annotated[Path, typer.Option(help="the csv file for the records")]
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
_ORIGIN = ("commit", "hardware", "versions")  # what points of one machine have in common


class Resources(BaseModel, extra="forbid", frozen=True):
    """Resources of a job, as Snakemake names them."""

    mem_mb: Positive = 3000
    runtime: Positive = 60  # minutes


class Sweep(BaseModel, extra="forbid", frozen=True, strict=True):
    """An entry of the description file; `points` are the rows of its grid, by name."""

    name: Annotated[str, Field(pattern=r"^\w+$")]
    experiment: Literal[EXPERIMENTS]
    profile: Literal["smoke", "mini", "small", "full"] = "mini"
    axes: dict[str, Annotated[list, Field(min_length=1)]]
    resources: Resources = Resources()

    @property
    def place(self) -> str:
        """Folder of its records under data/results/."""
        return f"{self.profile}-sweep-{self.name}"

    @functools.cached_property
    def points(self) -> dict[str, Point]:
        """Every float model, and the grid of each method's own axes."""
        found: dict[str, Point] = {}
        for method in ("float", *self.axes.get("method", ())):
            kind = _kind(self.experiment, method)
            axes = {a: v for a, v in self.axes.items() if a in kind.model_fields and a != "method"}
            for row in itertools.product(*axes.values()):
                point = kind(method=method, **dict(zip(axes, row, strict=True)))
                if found.setdefault(point_name(point), point) != point:
                    raise QlabError(f"Two points would be called {point_name(point)}.")
        return found


def swept_module(experiment: str) -> ModuleType:
    """The module that measures an experiment's points. QlabError if it has none."""
    if experiment not in EXPERIMENTS:
        raise QlabError(f"{experiment!r} cannot be swept; {', '.join(EXPERIMENTS)} can.")
    return importlib.import_module(f"swept.{experiment}")


def _kind(experiment: str, method: Any) -> type[Point]:
    kinds = swept_module(experiment).POINTS
    if not isinstance(method, str) or method not in kinds:
        raise QlabError(f"A method of {experiment} is one of {', '.join(kinds)}; got {method!r}.")
    return kinds[method]


def read(file: Path, name: str) -> Sweep:
    """The sweep of that name in a description file. QlabError names what is wrong in a sentence."""
    try:
        described = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise QlabError(f"{file} cannot be read as a description of sweeps: {error}.") from error
    if name not in described:
        raise QlabError(f"{file} has no sweep {name!r}; it has {', '.join(described) or 'none'}.")
    return sweep(name, described[name])


def sweep(name: str, entry: Any) -> Sweep:
    """A sweep from its entry: `experiment`, `axes` and, if wanted, `profile` and `resources`."""
    try:
        found = Sweep.model_validate(entry | {"name": name} if isinstance(entry, dict) else entry)
        kinds = swept_module(found.experiment).POINTS
        axes = sorted({axis for kind in kinds.values() for axis in kind.model_fields})
        for axis in sorted(set(found.axes) - set(axes)):
            raise QlabError(f"There is no axis {axis!r}; known: {', '.join(axes)}.")
        chosen = [_kind(found.experiment, method) for method in found.axes.get("method", [None])]
        for axis in {axis: 0 for kind in chosen for axis in kind.model_fields}:
            if axis not in found.axes:
                raise QlabError(f"It lacks the axis {axis!r}.")
        for axis, values in found.axes.items():
            if len(set(map(repr, values))) < len(values):
                raise QlabError(f"The axis {axis!r} has a value twice: {values}.")
        assert found.points
        return found
    except (QlabError, ValidationError) as error:
        raise QlabError(f"The sweep {name!r}: {_said(error)}") from None


def _said(error: Exception) -> str:
    """The first of pydantic's errors: where, what was expected, what came."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}; got {first['input']!r}."


def point_name(point: Point) -> str:
    """`llama_mini-gptq_w4_g64-seed0`: model, variant, and the seed if there is one.

    A model that is a path, or another name that no file can have, becomes a short hash.
    """
    model = point.model if re.fullmatch(r"\w+", point.model) else hash_json(point.model)[:8]
    seed = [f"seed{point.seed}"] if hasattr(point, "seed") else []
    return "-".join([model, point.variant, *seed])


def parsed(experiment: str, assignments: list[str]) -> Point:
    """A point from `axis=value` texts. QlabError if they are wrong."""
    given = dict(text.partition("=")[::2] for text in assignments)
    values = {a: int(t) if t.isdecimal() and a != "model" else t for a, t in given.items()}
    try:
        return _kind(experiment, values.get("method"))(**values)
    except ValidationError as error:
        raise QlabError(f"This point of {experiment}: {_said(error)}") from None


def fingerprint(experiment: str) -> str:
    """A single hash of the code, the locked versions and the embedded files behind a point."""
    module = swept_module(experiment)
    files = {name: paths.home() / "data" / name for name in module.FILES}
    lock = Path(__file__).resolve().parents[1] / "requirements.lock"
    files |= {lock.name: lock} if lock.is_file() else {}
    own = Path(module.__file__)
    modules = closure.imported(own.read_text(encoding="utf-8"), own.name)
    tables = dependencies.tables(modules.values())
    files |= modules | {f"{one.parent.name}/{one.name}": one for one in tables}
    files |= {one.name: one for one in (Path(__file__), own, own.with_name("point.py"))}
    return hash_json({name: file_sha256(file) for name, file in files.items()})


@app.command(name="point")
def measure(
    experiment: str,
    values: Annotated[list[str], typer.Argument(help="AXIS=VALUE: method=rtn bits=4")],
    output: Target,
    profile: str = "mini",
    threads: int = 1,
    killed: Annotated[int, typer.Option(help="only record that it was killed so often")] = 0,
) -> None:
    """Measure one point of a sweep and write its records.

    A point that fails gets a record, too, as does one that was `killed` so often before it could
    write. Beside it lies `<point>.failure`, whose change makes Snakemake run the point again next
    time. With the same number of threads, the numbers are the same on every node of one kind.
    """
    from qlab.core import provenance, records

    point = parsed(experiment, values)
    # The frameworks read these when they are imported, which happens while measuring.
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    started, settings = time.time(), {"profile": profile, "point": point.model_dump()}
    try:
        if killed:
            raise QlabError(f"killed {killed} times before it could write (memory, time, a node?)")
        task, found, packages = swept_module(experiment).measure(point, profile, threads)
        origin = provenance.collect(task.settings() | settings, task.inputs(), packages, started)
        records.write_to(output, records.as_table(found), origin)
        return
    except QlabError as error:
        reason = redact(str(error), known())
    except Exception as error:  # whatever it is, the other points go on; this one records why
        print(redact(traceback.format_exc(), known()), file=sys.stderr)
        reason = redact(f"{type(error).__name__}: {error}", known())
    about = (experiment, point.model, UNKNOWN, point.variant, FAILED, 1.0, "1")
    origin = provenance.collect(settings, {}, [], started) | {"failed": reason}
    with written_whole(output.with_suffix(".failure")) as part:
        part.write_text(json.dumps({"reason": reason, "at": time.time()}) + "\n")
    failed = records.as_table([records.Record(*about, seed=getattr(point, "seed", None))])
    records.write_to(output, failed, origin)
    print(f"qlab: {output.stem} failed: {reason}", file=sys.stderr)


def merge(sweep: Sweep, folder: Path, target: Path) -> dict[str, str]:
    """Join the files of a sweep's points into `target`; their order does not matter.

    Returns why points failed, by name. QlabError if a point is missing, or if two of them have the
    same record. The provenance has one entry in `merged_from` for all points of one machine, commit
    and set of versions.
    """
    import pandas as pd

    from qlab.core import provenance, records

    started = time.time()
    files = {name: folder / f"{name}.csv" for name in sorted(sweep.points)}
    for file in files.values():
        if not file.is_file():
            raise QlabError(f"The sweep {sweep.name!r} is not merged: {file} is missing.")
    told = {n: json.loads(records.provenance_path(f).read_text("utf-8")) for n, f in files.items()}
    inputs: dict[str, dict] = {}
    groups: dict[str, dict[str, Any]] = {}
    for name, one in told.items():
        # Calibration passages are drawn anew for every seed; the points' files name them.
        same = {k: v for k, v in one["inputs"].items() if k != "calibration"}
        inputs |= {sweep.points[name].model: same} if same else {}
        common = {key: one[key] for key in _ORIGIN}
        group = groups.setdefault(hash_json(common), common | {"what": [], "duration_s": 0.0})
        group["what"].append(name)
        group["duration_s"] = round(group["duration_s"] + one["duration_s"], 1)
    failed = {name: one["failed"] for name, one in told.items() if "failed" in one}
    settings = {"profile": sweep.profile, "sweep": sweep.name, "axes": sweep.axes}
    origin = provenance.collect(settings, inputs, [], started)
    origin |= {"merged_from": list(groups.values()), "failed": failed}
    origin["duration_s"] = round(sum(one["duration_s"] for one in told.values()), 1)
    table = pd.concat(map(records.read_file, files.values()), ignore_index=True)
    records.write_to(target, table, origin)
    return failed


@app.command(name="merge")
def _merge(
    sweeps: Path, name: str, points: Annotated[Path, typer.Option()], output: Target
) -> None:
    """Join the points of a sweep that SWEEPS describes."""
    described = read(sweeps, name)
    failed = merge(described, points, output)
    print(f"{len(described.points) - len(failed)} of {len(described.points)} points: {output}")
    for point, reason in failed.items():
        print(f"  {point} failed, and runs again with the next `make sweep`: {reason}")


if __name__ == "__main__":
    sys.exit(cli.main(commands=app))
