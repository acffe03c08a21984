"""The report of a profile: one HTML page with the answers, the claims, every figure, the methods.

`python -m qlab.run.site --profile mini` writes build/report/report.html from what lies in
data/results/ and figures/; it measures and judges nothing. page.html.j2, page.css and page.js are
its form; the page holds all that it shows, and loads nothing.
"""

import base64
import json
import mimetypes
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import nbformat
import pandas as pd
import typer
import yaml
from PIL import Image

from qlab.claims import chooser
from qlab.claims import ledger as claims
from qlab.claims.chooser import KINDS, LONG, PARENT
from qlab.core import paths, records
from qlab.core.cache import written_whole
from qlab.core.errors import QlabError

LOSSES = {"one point": 0.01, "five points": 0.05}  # bounds that the advice is given for
LEDGER = "claims_ledger.csv"  # of a profile's figures; notebook 05 writes it
# How a verdict is shown.
SIGNS = {"holds": "✓", "does not hold": "✗", "undecided": "?", "not tested": "–"}
_FORM = Path(__file__).parent


def write(profile: str, target: Path) -> Path:
    """Write the page of a profile to `target`, whole or not at all; returns it."""
    text = render(profile, target.parent)
    with written_whole(target) as part:
        part.write_text(text, encoding="utf-8")
    return target


def render(profile: str, folder: Path) -> str:
    """The page's HTML. Links to notebooks are relative to `folder`, where it will lie.

    QlabError: no checkout, no records of the profile.
    """
    root = paths.checkout()
    if root is None:
        raise QlabError("The report is made in a checkout, from its notebooks; here is none.")
    found = chooser.read_all(profile)
    if not found:
        raise QlabError(
            f"There are no records of the profile '{profile}' to report; run make figures "
            f"PROFILE={profile} first."
        )
    shown = chapters(profile, root)
    measured = methods(profile, [c["experiment"] for c in shown if c["experiment"]])
    judged = ledger(profile)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FORM), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html.j2").render(
        profile=profile,
        headline=headline(found),
        missing=[(name, kind.experiment) for name, kind in KINDS.items() if name not in found],
        advice={name: advice(name, table) for name, table in found.items()},
        fronts=[_front(name, table) for name, table in found.items()],
        counts=None if judged is None else counts(judged),
        claims=None if judged is None else [_claim(row) for _, row in judged.iterrows()],
        chapters=shown,
        measured=measured,
        machines=machines(measured),
        root=root,
        address=lambda path: Path(os.path.relpath(path, folder)).as_posix(),
        css=(_FORM / "page.css").read_text(encoding="utf-8"),
        script=(_FORM / "page.js").read_text(encoding="utf-8"),
    )  # fmt: skip


def headline(found: Mapping[str, pd.DataFrame]) -> list[str]:
    """What quantization buys within each loss, in sentences: the smallest files, the fastest."""
    told = []
    for words, loss in LOSSES.items():
        shares = [f"{_best(n, t, loss, 'size')['share']:.0%} ({n})" for n, t in found.items()]
        told.append(
            f"At most {words} lost: the file shrinks to {_listed(shares)} of float's bytes."
        )
    rows = {n: _best(n, t, LOSSES["one point"], "time") for n, t in found.items()}
    quick = [f"{chooser.time(r)} ({n})" for n, r in rows.items() if r["variant"] != PARENT]
    if quick:
        told.append(f"At most one point lost: the fastest takes {_listed(quick)} of float's time.")
    return told + [
        f"At most one point lost: no {name} that was timed is faster than float."
        for name, row in rows.items()
        if row["variant"] == PARENT
    ]


def _best(name: str, table: pd.DataFrame, loss: float, prefer: str) -> pd.Series:
    return chooser.choose(KINDS[name], table, max_loss=loss, prefer=prefer).taken


def _listed(words: list[str]) -> str:
    """A, B and C."""
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]


def advice(name: str, table: pd.DataFrame) -> list[str]:
    """For a kind of model: the smallest file within each loss, what to expect and why."""
    told: list[str] = []
    before = ""
    for loss in LOSSES.values():
        choice = chooser.choose(KINDS[name], table, max_loss=loss, prefer="size")
        again = choice.taken["variant"] == before
        told.append(
            f"For {chooser.asked(choice)}: the same." if again else chooser.sentence(choice)
        )
        before = choice.taken["variant"]
    return told


def _front(name: str, table: pd.DataFrame) -> dict[str, Any]:
    """The variants that nothing beats on size or on time, as the page shows them."""
    costs = {"size": "share", "time": "time"}
    best = {words: chooser.standing(table, cost) == "unbeaten" for words, cost in costs.items()}
    front = table[best["size"] | best["time"]]
    rows = [
        row.to_dict()
        | {"quality_words": chooser.quality(row), "time_words": chooser.time(row)}
        | {"on": " and ".join(words for words in costs if best[words][i])}
        for i, row in front.iterrows()
    ]
    return {"kind": KINDS[name], "rows": rows, "all": len(table)}


def ledger(profile: str) -> pd.DataFrame | None:
    """The ledger with its verdicts in words, in the file's order; None where there is none yet."""
    path = paths.figures(profile) / LEDGER
    if not path.is_file():
        return None
    table = pd.read_csv(path, usecols=claims.COLUMNS)
    return table.assign(verdict=table["verdict"].str.replace("_", " "))


def counts(table: pd.DataFrame) -> str:
    """How many claims hold, do not hold, are undecided or not tested, as a sentence."""
    n = [int((table["verdict"] == verdict).sum()) for verdict in SIGNS]
    return (
        f"Of {len(table)} checkable claims of the four sources {n[0]} hold, {n[1]} do not, "
        f"{n[2]} are undecided and {n[3]} could not be tested here."
    )


def _claim(row: pd.Series) -> dict[str, Any]:
    """A claim as the page shows it: texts, and what its verdict is sorted by."""
    return row.fillna("").to_dict() | {
        "sign": SIGNS[row["verdict"]],
        "order": list(SIGNS).index(row["verdict"]),
        "measured": measured_words(row),
        "source": row["source"].replace("_", " "),
    }


def measured_words(row: pd.Series) -> str:
    """A claim's figure, its items, and, where undecided, the smallest effect to be seen."""
    if pd.isna(row["figure"]):
        return ""
    told = row["figure"]
    if pd.notna(row["n"]) and row["n"] > 1:
        told += f", n = {int(row['n']):,}"
    if pd.notna(row["smallest_effect"]) and row["verdict"] == "undecided":
        # The ledger's effects are shares where its figures are in points or percent.
        shares = "points" in row["figure"] or "%" in row["figure"]
        scale, unit = (100, " points") if shares else (1, "")
        told += f"; smallest effect to be seen: {scale * row['smallest_effect']:.2g}{unit}"
    return told


def chapters(profile: str, root: Path) -> list[dict[str, Any]]:
    """For each notebook of workflow/notebooks.yaml: title, question, experiment, and its figures.

    `pictures` have name, caption, image and numbers (data URIs), width and height in pixels as it
    is shown; `missing` are the names of figures that this profile has not drawn yet.
    """
    listed = yaml.safe_load((root / "workflow" / "notebooks.yaml").read_text(encoding="utf-8"))
    return [_chapter(name, entry or {}, profile, root) for name, entry in listed.items()]


def _chapter(name: str, entry: dict[str, Any], profile: str, root: Path) -> dict[str, Any]:
    path = root / "notebooks" / f"{name}.ipynb"
    words = nbformat.read(path, 4).cells[0].source
    question = re.search(r"^\*\*(.+?\?)\*\*$", words, re.M | re.S)
    captions = entry.get("figures", {})
    files = {name: paths.figures(profile) / f"{name}.png" for name in captions}
    there = {name: file for name, file in files.items() if file.is_file()}
    return {
        "path": path,
        "title": words.splitlines()[0].removeprefix("# "),
        "question": question[1].replace("\n", " ") if question else "",
        "experiment": entry.get("experiment", ""),
        "pictures": [_picture(file, captions[name]) for name, file in there.items()],
        "missing": [name for name in files if name not in there],
    }


def _picture(file: Path, caption: str) -> dict[str, Any]:
    with Image.open(file) as image:  # it has two pixels for each that is shown
        width, height = (side // 2 for side in image.size)
    held = {"image": data_uri(file), "numbers": data_uri(file.with_suffix(".csv"))}
    return held | {"name": file.stem, "caption": caption, "width": width, "height": height}


def data_uri(path: Path) -> str:
    """A file as an address that holds it (RFC 2397)."""
    coded = base64.b64encode(path.read_bytes()).decode()
    return f"data:{mimetypes.guess_type(path)[0]};base64,{coded}"


def methods(profile: str, experiments: list[str]) -> list[dict[str, Any]]:
    """What lies beside each experiment's records, also beside those of a long sweep.

    Keys: name, profile, rows, records (data URI), and those of `provenance.collect`.
    """
    places = [(name, place) for name in experiments for place in (profile, profile + LONG)]
    return [_origin(*one) for one in places if records.csv_path(*one).is_file()]


def _origin(name: str, profile: str) -> dict[str, Any]:
    path = records.csv_path(name, profile)
    told = json.loads(records.provenance_path(path).read_text(encoding="utf-8"))
    for key in ("parameters", "versions", "inputs"):
        told[key] = ", ".join(f"{k} {v}" for k, v in told[key].items() if v not in ("", None))
    here = {"name": name, "profile": profile, "rows": len(records.read(name, profile))}
    return told | here | {"records": data_uri(path)}


def machines(measured: list[dict[str, Any]]) -> list[str]:
    """The machines that measured, each once, as a sentence."""
    told: dict[str, list[str]] = {}
    for one in measured:
        h = one["hardware"]
        words = f"{h['processor']}, {h['architecture']}, {h['cores']} cores"
        words += f", {h['memory_bytes'] / 2**30:.1f} GiB of memory"
        told.setdefault(words, []).append(f"{one['name']} ({one['profile']})")
    return [f"{words}: {', '.join(names)}." for words, names in told.items()]


def main(profile: str = "mini", output: Path | None = None) -> None:
    """Write the report of a profile's records and figures, and say where."""
    try:
        print(write(profile, (output or paths.build() / "report" / "report.html").absolute()))
    except QlabError as error:
        sys.exit(f"qlab: {error}")


if __name__ == "__main__":
    typer.run(main)
