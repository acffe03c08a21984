"""A sweep as a grid: what `workflow/sweeps.yaml` says, checked, and the points that come of it.

Without any framework: Snakemake reads this for every job.
"""

import difflib
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from qlab.core import paths
from qlab.core.cache import file_sha256
from qlab.core.closure import module_files
from qlab.core.errors import QlabError
from qlab.core.place import hash_json

PROFILES = ("smoke", "mini", "full")
FIELDS = {"experiment", "profile", "axes", "resources"}
RESOURCES = {"mem_mb": 3000, "runtime": 60}  # of one point: megabytes, minutes
_PACKAGE = Path(__file__).resolve().parents[1]
FLOAT = "float"  # the method that leaves a model as it is: every sweep's reference
Values = dict[str, Any]  # axis -> value


@dataclass(frozen=True)
class Study:
    """What can be swept of an experiment; its module has `measure(profile, **values)`."""

    module: str  # of qlab, by its name
    axes: dict[str, tuple | type | int]  # allowed values; `str`: any name; a number: that or more
    without: dict[str, tuple[str, ...]]  # method -> the axes that it does not have
    variant: Callable[[Values], str]  # the name that a point has in the records
    models: tuple[str, ...]  # folders of data/models/ that it may load


def _llama_variant(of: Values) -> str:
    return f"{of['method']}_w{of['bits']}_g{of['group']}"


def _resnet_variant(of: Values) -> str:
    return f"{of['method']}_w{of['bits']}a8_{of['where']}{of['k']}"


STUDIES = {
    "llama_gptq": Study(
        "language.point",
        {"method": ("gptq", "rtn"), "bits": (8, 4, 3, 2), "group": (64, 128), "model": str,
         "seed": 0},
        {"rtn": ("seed",), FLOAT: ("bits", "group", "seed")},
        _llama_variant,
        ("llama_mini",),
    ),
    "resnet_qat": Study(
        "classifier.point",
        {"method": ("qat", "ptq"), "k": 1, "bits": (8, 4),
         "where": ("last", "first", "only", "attention", "feedforward"),
         "model": str, "seed": 0},
        {"ptq": ("seed",), FLOAT: ("where", "k", "bits", "seed")},
        _resnet_variant,
        ("resnet8_shapes32", "resnet20_shapes32"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Sweep:
    """A checked sweep: `points` by name, which is also the name of a point's file."""

    name: str  # in the description
    experiment: str  # whose points these are
    profile: str  # smoke, mini or full
    axes: dict[str, list]  # what is varied, as given
    resources: dict[str, int]  # of a job, as Snakemake names them
    points: dict[str, Values]  # the axes' values of each point

    @property
    def place(self) -> str:
        """Folder of its records under data/results/."""
        return f"{self.profile}-sweep-{self.name}"


def read(file: Path, name: str) -> Sweep:
    """The sweep of that name in a description file. QlabError, one sentence, for what is wrong."""
    try:
        described = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise QlabError(f"{file} cannot be read as a description of sweeps: {error}.") from error
    if name not in described:
        raise QlabError(f"{file} has no sweep {name!r}; it has {', '.join(described) or 'none'}.")
    return sweep(name, described[name])


def sweep(name: str, entry: Any) -> Sweep:
    """A sweep from its entry: `experiment`, `profile`, `axes`, and if need be `resources`."""
    where = f"The sweep {name!r}"
    if not re.fullmatch(r"\w+", name):
        raise QlabError(f"{where} cannot name a folder; use letters, digits and underscores.")
    if not isinstance(entry, dict) or not isinstance(entry.get("axes"), dict):
        raise QlabError(f"{where} must say `experiment`, `profile` and, by name, its `axes`.")
    _refuse_unknown(entry, FIELDS, f"{where} has the field")
    study = _one_of(STUDIES, entry.get("experiment"), f"{where}: the experiment")
    profile = entry.get("profile", "mini")
    _one_of(dict.fromkeys(PROFILES), profile, f"{where}: the profile")
    resources = entry.get("resources") or {}
    _refuse_unknown(resources, RESOURCES, f"{where} has the resource")
    _refuse_unknown(entry["axes"], study.axes, f"{where} has the axis")
    if lacking := [axis for axis in study.axes if axis not in entry["axes"]]:
        raise QlabError(f"{where} lacks the axis {lacking[0]!r}; give it one value or more.")
    for axis, values in entry["axes"].items():
        _check_axis(study, axis, values, where)
    axes = {axis: entry["axes"][axis] for axis in study.axes}
    points = _points(study, axes, where)
    return Sweep(name, entry["experiment"], profile, axes, RESOURCES | resources, points)


def _one_of(known: Mapping[str, Any], given: Any, what: str) -> Any:
    if given not in known:
        raise QlabError(f"{what} is one of {', '.join(known)}; got {given!r}.")
    return known[given]


def _refuse_unknown(given: Mapping, known: Any, what: str) -> None:
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise QlabError(f"{what} {name!r}, which is unknown{hint}; known: {', '.join(known)}.")


def _check_axis(study: Study, axis: str, values: Any, where: str) -> None:
    if not isinstance(values, list) or not values:
        raise QlabError(f"{where}: the axis {axis!r} must be a list of one value or more.")
    for value in values:
        check(study, axis, value, where)
    if twice := [value for value in values if values.count(value) > 1]:
        raise QlabError(f"{where}: the axis {axis!r} has {twice[0]!r} twice; give it once.")


def check(study: Study, axis: str, value: Any, where: str) -> None:
    """QlabError where an axis cannot have this value."""
    allowed = study.axes[axis]
    if allowed is str:
        fits, words = isinstance(value, str) and bool(value.strip()), "a name or path"
    elif isinstance(allowed, int):
        fits, words = type(value) is int and value >= allowed, f"a whole number from {allowed} on"
    else:
        fits = any(type(value) is type(one) and value == one for one in allowed)
        words = f"one of {', '.join(map(str, allowed))}"
    if not fits:
        raise QlabError(f"{where}: the axis {axis!r} takes {words}; got {value!r}.")


def _points(study: Study, axes: dict[str, list], where: str) -> dict[str, Values]:
    """Every model as it is, and the grid, less the axes that a method does not have."""
    grid = [dict(zip(axes, row, strict=True)) for row in itertools.product(*axes.values())]
    grid = [{"method": FLOAT, "model": model} for model in axes["model"]] + grid
    found: dict[str, Values] = {}
    for full in grid:
        left_out = study.without.get(full["method"], ())
        values = {axis: value for axis, value in full.items() if axis not in left_out}
        if found.setdefault(point_name(study, values), values) != values:
            raise QlabError(f"{where} has two points named {point_name(study, values)!r}.")
    return found


def variant(study: Study, values: Values) -> str:
    """A point's variant as the records name it; of an untouched model, `float`."""
    return FLOAT if values["method"] == FLOAT else study.variant(values)


def point_name(study: Study, values: Values) -> str:
    """`llama_mini-gptq_w4_g64-seed0`: model, variant, and the seed where there is one."""
    model = re.sub(r"\W+", "_", values["model"])
    seed = [f"seed{values['seed']}"] if "seed" in values else []
    return "-".join([model, variant(study, values), *seed])


def fingerprint(experiment: str) -> str:
    """One hash of the code, the locked versions and the embedded models behind a point."""
    study = STUDIES[experiment]
    module = _PACKAGE / f"{study.module}.py"
    files = {f.relative_to(_PACKAGE).as_posix(): f for f in [module, *module_files(module)]}
    files |= {name: paths.models() / name for name in study.models}
    lock = _PACKAGE.parents[1] / "requirements.lock"
    files |= {lock.name: lock} if lock.is_file() else {}
    return hash_json({name: file_sha256(file) for name, file in files.items()})
