"""The site's tables, made from records as HTML: methods, the chooser, claims, model cards."""

import functools
import html
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import drawn
import pandas as pd
import yaml

from qlab.claims import chooser
from qlab.core import records

COSTS = {"size": "share", "time": "time"}
LONG = 60  # characters, from which a cell is a wide one
LOSSES = {"one point": 0.01, "five points": 0.05}  # bounds for which advice is given


def table(name: str, headers: Sequence[str], rows: Iterable[Sequence], filters: bool = True) -> str:
    """An HTML table that static/tables.js makes sortable and, with `filters`, searchable.

    A cell is a text, or a pair of a text and the number that it is sorted by.
    """
    lines = []
    for row in rows:
        cells = [cell if isinstance(cell, tuple) else (cell, None) for cell in row]
        tags = ["th scope='row'", *["td"] * (len(cells) - 1)]
        lines.append("<tr>" + "".join(
            f"<{tag}{' class=long' * (len(text) > LONG)}"
            f"{'' if key is None else f' data-sort={key!s}'}>{text}</{tag[:2]}>"
            for tag, (text, key) in zip(tags, cells, strict=True)
        ) + "</tr>")  # fmt: skip
    head = "".join(f"<th scope='col'>{header}</th>" for header in headers)
    return (
        "```{raw} html\n"
        f"<div class='sheet{' filtered' if filters else ''}' tabindex='0' role='region' "
        f"aria-label='{html.escape(name, quote=True)}, a table that scrolls'>\n"
        f"<table><caption>{html.escape(name)}</caption><thead><tr>{head}</tr></thead>\n<tbody>\n"
        + "\n".join(lines) + "\n</tbody></table></div>\n```\n"
    )  # fmt: skip


def code(text: str) -> str:
    """A name as code in HTML."""
    return f"<code>{html.escape(str(text))}</code>"


def number(value: float, form: str) -> tuple[str, float | str]:
    """A number and its sort key; if there is none, a dash, which is sorted last."""
    return ("–", "''") if value is None or math.isnan(value) else (format(value, form), value)


def told(row: pd.Series) -> tuple[tuple, tuple]:
    """Time and quality of a row of `chooser.variants`, each with the value it is sorted by."""
    time = (chooser.time(row), "''" if pd.isna(row["time"]) else row["time"])
    return time, (chooser.quality(row), row["quality"])


def choices(profiles: Sequence[str]) -> str:
    """The variants to choose from, for every kind of model, with their costs and their quality."""
    rows = []
    for profile in profiles:
        for name, found in read_all(profile).items():
            kind = chooser.KINDS[name]
            best = {w: chooser.standing(found, cost) == "unbeaten" for w, cost in COSTS.items()}
            for i, row in found.iterrows():
                on = " and ".join(words for words in COSTS if best[words][i]) or "–"
                rows.append([
                    code(row["variant"]), profile, name, number(row["share"], ".3f"), *told(row),
                    (f"{100 * row['quality_low']:+z.2f}", row["quality_low"]), on,
                    (f"{row['size']:,}", row["size"]), (f"{row['n']:,} {kind.items}", row["n"]),
                    html.escape(row["model"]),
                ])  # fmt: skip
    headers = ["variant", "profile", "kind", "size", "time", "quality, points", "at worst",
               "unbeaten on", "bytes", "judged on", "model"]  # fmt: skip
    return table("The variants to choose from", headers, rows)


def methods(file: Path) -> str:
    """The capability table: what a method needs and can do, beside what was measured for it."""
    rows = []
    for one in yaml.safe_load(file.read_text(encoding="utf-8")):
        found = read_all(one["profile"])[one["kind"]].set_index("variant")
        row = found.loc[one["variant"]]
        needs = [one[key] for key in ("calibration", "cpu", "serializable", "library")]
        rows.append([
            html.escape(one["method"]), code(one["variant"]), (f"{row['bits']:.0f}", row["bits"]),
            number(row["share"], ".3f"), *told(row), *map(html.escape, needs),
            f"{one['kind']}, {one['profile']}, n = {row['n']:,}",
        ])  # fmt: skip
    headers = ["method", "variant", "bits", "size", "time", "quality, points", "needs calibration",
               "runs on a CPU", "serializable", "library", "measured on"]  # fmt: skip
    return table("Methods: what they need, what they cost, what they bring", headers, rows)


LIBRARIES = {  # whose kernels a variant of benchmarks/language_kernels.py runs on, by its name
    "fp32": "PyTorch", "bf16": "PyTorch", "bnb": "bitsandbytes", "gptq": "auto-gptq",
    "torchao": "torchao", "llama": "llama.cpp", "onnx": "ONNX Runtime",
}  # fmt: skip


def kernels(root: Path) -> str:
    """What each library's kernels make of the same weights: speed, memory, the same answers."""
    found = records.read_file(root / "benchmarks" / "results" / "language_kernels.csv")
    shown = {
        "reading": ("times_faster_prefill", ".2f", 1),
        "writing": ("times_faster_decode", ".2f", 1),
        "peak, MB": ("peak_memory_bytes", ".0f", 1e-6),
        "as float": ("top1_agreement", ".3f", 1),
    }
    rows = []
    fastest = records.pick(found, "tokens_per_s_decode").sort_values("value", ascending=False)
    for name in fastest["variant"]:
        own, cells = found[found["variant"] == name], []
        for metric, form, scale in shown.values():
            one = records.pick(own, metric)
            # Only the parent is not compared, with itself.
            text = "1" if one.empty else records.interval(one.iloc[0], form, scale)
            cells.append((text, 1 if one.empty else scale * one["value"].iloc[0]))
        bits = own["bits"].iloc[0]
        rows.append([code(name), LIBRARIES[name.split("_")[0]], (f"{bits:.0f}", bits), *cells])
    return table("Speed as a multiple of float's in PyTorch",
                 ["variant", "library", "bits", *shown], rows, filters=False)  # fmt: skip


@functools.cache
def read_all(profile: str) -> dict[str, pd.DataFrame]:
    """`chooser.read_all` of a profile, with each variant's bits."""
    found = chooser.read_all(profile)
    for name, table in found.items():
        places = [profile + chooser.LONG, profile]
        experiment = chooser.KINDS[name].experiment
        place = next(p for p in places if records.csv_path(experiment, p).is_file())
        bits = records.read(experiment, place).groupby("variant")["bits"].first()
        found[name] = table.assign(bits=table["variant"].map(bits))
    return found


def headline(profile: str) -> str:
    """What quantization buys within each loss, as a list: the smallest files, the fastest."""
    lines, whole = [], read_all(profile)
    for words, loss in LOSSES.items():
        for prefer, said in {"size": "smallest", "time": "fastest"}.items():
            best = {
                name: chooser.choose(table, max_loss=loss, prefer=prefer).iloc[0]
                for name, table in whole.items()
            }
            cost = {n: f"{r['share']:.2f}" if prefer == "size" else chooser.time(r)
                    for n, r in best.items()}  # fmt: skip
            named = [f"{n} `{r['variant']}` ({cost[n]})" for n, r in best.items()]
            lines.append(f"- At most {words} lost, {said}: {', '.join(named)}.")
    return "\n".join(lines)


def counts(root: Path, profile: str) -> str:
    """How many claims have each verdict, in a sentence: those that could fail, then the others."""
    ledger = pd.read_csv(root / "figures" / profile / "claims_ledger.csv")
    n = ledger.groupby("kind")["verdict"].value_counts()
    measured, kinds = n["measured"], ledger["kind"].value_counts()
    return (
        f"Of {kinds['measured']} measured claims {measured['holds']} hold of models that the "
        f"source speaks of, {measured['does_not_hold']} do not, {measured['undecided']} are "
        f"undecided, and {measured['not_tested']} were tested on no such model. Of "
        f"{kinds['identity']} identities, which only count, {n['identity', 'holds']} hold, and "
        f"{n['replay', 'holds']} of {kinds['replay']} recomputations of a source's table agree."
    )


def origins(root: Path) -> str:
    """Where each experiment's records come from: commit, machine, time, parameters, versions."""
    rows = []
    for file in sorted((root / "data" / "results").glob("*/*.provenance.json")):
        said = json.loads(file.read_text(encoding="utf-8"))
        parts = {
            key: html.escape(", ".join(f"{k} {v}" for k, v in said[key].items() if v))
            for key in ("parameters", "versions")
        }
        hardware = said["hardware"]
        machine = f"{hardware['processor']}, {hardware['cores']} cores"
        name = file.name.partition(".")[0]
        rows.append([
            code(name), file.parent.name, code(drawn.short(said["commit"])), html.escape(machine),
            (f"{said['duration_s']:,.0f} s", said["duration_s"]), *parts.values(),
        ])  # fmt: skip
    headers = ["records", "profile", "commit", "machine", "duration", "parameters", "versions"]
    return table("Where the records come from", headers, rows)


def metrics(root: Path) -> str:
    """What each metric of the records means, by the room that measures it."""
    rows, better = [], {1: "more", -1: "less", 0: "–"}
    for file in sorted((root / "src" / "qlab").glob("*/metrics.yaml")):
        room = file.parent.name.replace("core", "all")
        for name, one in yaml.safe_load(file.read_text(encoding="utf-8")).items():
            way, clock = better[one.get("better", 0)], "yes" if one.get("clock") else "–"
            rows.append([code(name), room, html.escape(one["means"]), one["unit"], way, clock])
    headers = ["metric", "room", "what it is", "unit", "better", "by a clock or meter"]
    return table("What each metric is", headers, rows)


def claims(root: Path, profile: str) -> str:
    """The complete ledger that notebook 05 writes."""
    ledger = pd.read_csv(root / "figures" / profile / "claims_ledger.csv").fillna("")
    rows = []
    for _, row in ledger.iterrows():
        verdict = row["verdict"].replace("_", " ")
        words = [html.escape(str(row[key])) for key in ("statement", "source", "place", "kind")]
        tiers = [html.escape(row[key].replace("_", " ")) for key in ("small", "mini")]
        n = (f"{int(row['n']):,}", int(row["n"])) if row["n"] != "" else ("–", "''")
        rows.append([
            f"{words[0]}<br>{code(row['id'])}",
            f"<span class='{row['verdict'].replace('_', '-')}'>{verdict}</span>",
            words[1].replace("_", " "), words[2], words[3], html.escape(row["figure"]) or "–", n,
            html.escape(row["scope"]), *tiers, html.escape(row["reason"]),
        ])  # fmt: skip
    headers = ["statement", "verdict", "source", "place", "kind", "figure", "n", "of which models",
               "small", "mini", "rule"]  # fmt: skip
    return table("The ledger of claims", headers, rows)


def cards(root: Path) -> str:
    """The embedded models' cards, one row each."""
    rows = []
    for file in sorted((root / "data" / "models").glob("*/card.json")):
        card = json.loads(file.read_text(encoding="utf-8"))
        score = {k: v for k, v in card["score"].items() if isinstance(v, float) and "ci" not in k}
        metric, value = next(iter(score.items()))
        rows.append([
            code(file.parent.name), html.escape(card["model"]),
            (f"{card['parameters']:,}", card["parameters"]), html.escape(card["data"]),
            f"{metric} {value:.3f} on {html.escape(card['score']['dataset'])}", str(card["seed"]),
            code(card["weights_sha256"][:12]), card["licence"],
        ])  # fmt: skip
    headers = ["model", "what", "parameters", "trained on", "score", "seed", "sha256", "licence"]
    return table("Embedded models", headers, rows, filters=False)
