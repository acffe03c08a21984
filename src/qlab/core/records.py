"""Every number is a record; what it is about is in its columns, and no name is ever taken apart."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, NamedTuple

import pandas as pd
import yaml
from pydantic import FiniteFloat, PositiveInt, StringConstraints, TypeAdapter, ValidationError

from qlab.core import paths
from qlab.core.cache import written_whole
from qlab.core.errors import QlabError
from qlab.core.provenance import processor
from qlab.core.secrets import known, redact
from qlab.core.stats import Estimate, Flips

Text = Annotated[str, StringConstraints(pattern=r"\S")]  # not empty


@dataclass(frozen=True)
class Record:
    """One measured number with all that it is about, and its 95 % interval, which may be undefined.
    What a column may hold is checked when records are written and read; see `check`."""

    experiment: Text  # names the file: `data/results/<profile>/<experiment>.csv`
    model: Text  # name of what was quantized
    dataset: Text  # what it was judged on, with variant and split in the name
    variant: Text  # what was done to the model; the float parent is one too
    metric: Text  # what was measured; one metric has one unit
    value: FiniteFloat  # the number itself, in the unit
    unit: Text  # "1" for shares and scores
    ci_low: FiniteFloat | None = None  # lower end of the 95 % interval; None if none is defined
    ci_high: FiniteFloat | None = None  # upper end; comes with ci_low
    n: PositiveInt = 1  # items behind the value
    seed: int | None = None  # of the random draws; None if nothing was drawn
    device: Text = field(default_factory=processor)  # the processor it ran on, then threads
    parent: str | None = None  # hash of the float model's files, if models of this name may differ
    method: str | None = None  # how the variant was made: gptq, rtn, qat, ptq, ...
    bits: int | None = None  # of the weights
    group_size: int | None = None  # weights that share a scale
    k: int | None = None  # number of layers quantized, or the k of top-k
    where: str | None = None  # the end that layers are counted from, or the side of a graph
    part: str | None = None  # of a model: a layer; of evidence: an effect; of claims: a tier
    depth: int | None = None  # position of the part in the model, in order of execution, from 0
    condition: str | None = None  # of the data or of how it is read, if not the usual one
    strength: int | None = None  # of the condition
    clock: bool = False  # whether a clock or a meter was involved
    better: int = 0  # 1 if more is better, -1 if less is, 0 if neither


COLUMNS = [f.name for f in fields(Record)]  # columns of a table of records, in order
# What makes two records the same record, on whatever machine.
KEY = ["experiment", "model", "dataset", "variant", "metric", "k", "where"]
KEY += ["part", "depth", "condition", "strength", "seed"]
_ROWS = TypeAdapter(list[Record])
# How pandas is to hold each type; it would guess from the values otherwise.
_KINDS = {Text: str, FiniteFloat: float, PositiveInt: int, int: int, bool: bool}
_KINDS |= {str | None: object, FiniteFloat | None: float, int | None: "Int64"}  # with gaps
_DTYPES = {f.name: _KINDS[f.type] for f in fields(Record)}


def check(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """The table with its columns' types, if it conforms to the schema; otherwise a QlabError."""
    if (found := list(table.columns)) != COLUMNS:
        told = f"the columns must be {', '.join(COLUMNS)}; found {', '.join(found)}"
        raise QlabError(f"{where}: {told}.")
    rows = table.astype(object).where(table.notna(), None).to_dict("records")

    def refused(row: int, why: str) -> QlabError:
        about = f"variant '{rows[row]['variant']}', metric '{rows[row]['metric']}'"
        return QlabError(f"{where}, row {row + 2} ({about}): {why}.")

    try:
        found = as_table(_ROWS.validate_python(rows))
    except ValidationError as error:
        first = error.errors()[0]
        (row, column, *_), found = first["loc"], first["input"]
        why = "must not be empty" if found is None else f"is {found!r}: {first['msg']}"
        raise refused(row, f"column '{column}' {why}") from None
    parents = found.groupby("model")["parent"].transform("nunique", dropna=False)
    for rule, broken in {
        "better must be -1, 0 or 1": found["better"].abs() > 1,
        "ci_low and ci_high come together": found["ci_low"].isna() != found["ci_high"].isna(),
        "ci_low must not exceed ci_high": found["ci_low"] > found["ci_high"],
        "a model must have one parent": parents > 1,
        "a record must not be there twice": found.duplicated(KEY),
    }.items():
        if broken.any():
            raise refused(int(broken.argmax()), rule)
    return found


def as_table(records: Iterable[Record]) -> pd.DataFrame:
    """Records as a table with the columns of `Record`."""
    rows = [vars(r) for r in records]
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object).astype(_DTYPES)


def csv_path(experiment: str, profile: str) -> Path:
    """The file of an experiment's records in a profile."""
    return paths.results(profile) / f"{experiment}.csv"


def write_to(target: Path, table: pd.DataFrame, provenance: dict) -> Path:
    """Write a table of records to `target`, a csv, and their provenance beside it."""
    table = check(table, f"records of {target.stem}").sort_values(KEY, kind="stable")
    with written_whole(target) as part:
        table.to_csv(part, index=False, float_format="%.10g")
    with written_whole(provenance_path(target)) as part:
        # Parameters are part of it, and one may have been given a token.
        part.write_text(redact(json.dumps(provenance, indent=2, sort_keys=True), known()) + "\n")
    return target


def write(records: Iterable[Record], profile: str, provenance: dict) -> Path:
    """Write one experiment's records. QlabError if there are none, or a row breaks the schema."""
    if (table := as_table(records)).empty:
        raise QlabError("There are no records to write: the experiment measured nothing.")
    return write_to(csv_path(str(table["experiment"].iloc[0]), profile), table, provenance)


def provenance_path(target: Path) -> Path:
    """The provenance file that lies beside a table of records."""
    return target.with_suffix(".provenance.json")


def read(experiment: str, profile: str) -> pd.DataFrame:
    """The records of an experiment, checked. QlabError: none, or a row that breaks the schema."""
    if not (path := csv_path(experiment, profile)).is_file():
        first = f"run the notebook of '{experiment}' first: python -m qlab run NOTEBOOK"
        raise QlabError(f"There are no records at {path}; {first} -p profile={profile}.")
    return read_file(path)


def read_file(path: Path) -> pd.DataFrame:
    """Records of a csv file, checked; columns as in `Record`. QlabError if it is no such table."""
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=str)
    except (ValueError, pd.errors.ParserError) as error:  # empty, not UTF-8, or rows of all lengths
        raise QlabError(f"{path} is no table of records: {str(error).strip()}") from None
    return check(table, str(path))


def pick(table: pd.DataFrame, metric: str | list[str], **where) -> pd.DataFrame:
    """Rows with the given metric(s) and column value(s); None stands for an empty cell."""
    for column, wanted in {"metric": metric, **where}.items():
        wanted = wanted if isinstance(wanted, list) else [wanted]
        table = table[table[column].isna() if wanted == [None] else table[column].isin(wanted)]
    return table


def value(table: pd.DataFrame, variant: str, metric: str) -> float | None:
    """The first record of a variant's metric; None if there is none."""
    found = pick(table, metric, variant=variant)["value"]
    return float(found.iloc[0]) if len(found) else None


def parent(table: pd.DataFrame, difference: str) -> str:
    """The float parent: the variant with a size but without this difference to a parent; if
    several, the one that was also judged. QlabError if there is not exactly one."""
    metrics = (difference, difference.removesuffix("_difference"), "size_bytes")
    compared, judged, sized = (set(pick(table, metric)["variant"]) for metric in metrics)
    alone = sized - compared
    if len(found := sorted(alone & judged or alone)) != 1:
        wanted = f"the one variant with a size and without {difference}"
        told = f"found {', '.join(found) or 'none'}. Run their notebook again."
        raise QlabError(f"The records have no single float parent, {wanted}; {told}")
    return found[0]


def interval(row: pd.Series, form: str = ".3f", scale: float = 1.0) -> str:
    """A record's value, times `scale`, with its interval in brackets, if it has one."""
    shown, *ends = (f"{row[c] * scale:{form}}" for c in ("value", "ci_low", "ci_high"))
    # No brackets where no ends are defined, or where there are too few rounds for 95 %.
    return shown if pd.isna(row["ci_low"]) else f"{shown} [{', '.join(ends)}]"


class Metric(NamedTuple):
    """What every record of a metric has in common."""

    unit: str  # of its values; "1" for shares and scores
    better: int = 0  # 1 if more is better, -1 if less is, 0 if neither
    clock: bool = False  # whether a clock or a meter is involved


def metrics(beside: str) -> dict[str, Metric]:
    """The metrics, by name, that `metrics.yaml` beside a file defines. There it also says what each
    means and, if it is drawn, its `axis` and `scale`; TypeError for other keys."""

    def metric(means: str, axis: str = "", scale: str = "", **own) -> Metric:
        return Metric(**own)

    about = yaml.safe_load(Path(beside).with_name("metrics.yaml").read_text("utf-8"))
    return {name: metric(**one) for name, one in about.items()}


COMPARED = metrics(__file__)  # of a paired comparison, besides the difference: `Recorder.compared`


@dataclass(frozen=True)
class Recorder:
    """Makes an experiment's records: unit, direction and clock come from its table of metrics. A
    `task` has the names of the `model` and the `dataset`, and may have the hash of its `parent`."""

    experiment: str
    metrics: Mapping[str, Metric]

    def estimated(self, task, variant: str, metric: str, e: Estimate, **more) -> Record:
        """A number with its interval; `more` are other columns of the record."""
        ends = {"ci_low": e.low, "ci_high": e.high}
        return self.counted(task, variant, metric, e.value, e.n, **ends, **more)

    def counted(self, task, variant: str, metric: str, value: float, n: int = 1, **more) -> Record:
        """A number that is counted, not estimated, so without an interval."""
        about = {"model": task.model, "dataset": task.dataset, **self.metrics[metric]._asdict()}
        about |= {"n": n, "parent": getattr(task, "parent", None), **more}
        return Record(self.experiment, variant=variant, metric=metric, value=float(value), **about)

    def compared(
        self, task, variant: str, metric: str, flips: Flips, prefix: str = "", **more
    ) -> list[Record]:
        """A variant's paired difference in `metric` to its parent, the flips of items, and the
        test; `prefix` tells apart the flips and tests of several comparisons."""
        counts = {"flips_lost": flips.lost, "flips_gained": flips.gained}
        counts |= {"mcnemar_p": flips.p_value, "detectable_difference": flips.detectable}
        n, here = flips.difference.n, (task, variant)
        return [
            self.estimated(*here, f"{metric}_difference", flips.difference, **more),
            self.estimated(*here, f"{prefix}flip_rate", flips.rate, **more),
            *(self.counted(*here, prefix + name, v, n, **more) for name, v in counts.items()),
        ]
