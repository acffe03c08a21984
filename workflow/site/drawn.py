"""The committed figures, and the text under each: caption, origin, numbers, command."""

import json
import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

TIERS = ("small", "mini")  # small first: it has real models


class Drawn(NamedTuple):
    """One figure of one profile."""

    name: str
    profile: str
    notebook: str  # its file's name without .ipynb
    experiment: str  # whose records it draws
    caption: str

    @property
    def label(self) -> str:
        """The label by which the site's pages link to it."""
        return f"{self.profile}-{self.name}".replace("_", "-")


def listed(root: Path) -> dict[str, dict]:
    """The entries of workflow/notebooks.yaml, by the notebook's name."""
    return yaml.safe_load((root / "workflow" / "notebooks.yaml").read_text(encoding="utf-8"))


def figures(root: Path) -> dict[tuple[str, str], Drawn]:
    """All figures in figures/mini and figures/small, by profile and name."""
    return {
        (profile, name): Drawn(name, profile, notebook, entry["experiment"], caption)
        for notebook, entry in listed(root).items()
        for name, caption in entry["figures"].items()
        for profile in TIERS
        if (root / "figures" / profile / f"{name}.png").is_file()
    }


def origin(one: Drawn, root: Path) -> dict[str, str]:
    """Commit, processor and n of a figure, from its records' provenance and its numbers."""
    place = root / "data" / "results" / one.profile / one.experiment
    said = json.loads(place.with_suffix(".provenance.json").read_text(encoding="utf-8"))
    table = pd.read_csv(root / "figures" / one.profile / f"{one.name}.csv", low_memory=False)
    if "n" not in table or table["n"].max() <= 1:  # bytes, or numbers computed from records
        table = pd.read_csv(place.with_suffix(".csv"), low_memory=False)
        table = table[table["n"] == table.loc[table["ci_low"].notna(), "n"].mode()[0]]
    low, high = int(table["n"].min()), int(table["n"].max())
    return {
        "commit": short(said["commit"]),
        "processor": said["hardware"]["processor"],
        "n": f"{high:,}" if low == high else f"{low:,} to {high:,}",
    }


def short(commit: str) -> str:
    """A commit's first seven digits, and whether there were changes on top of it."""
    return commit[:7] + "+changes" * commit.endswith("+changes")


def about(one: Drawn, root: Path, where: str) -> str:
    """The lines under a figure, in Markdown; `where` says which cell draws it."""
    told = origin(one, root)
    file = f"/figures/{one.profile}/{one.name}"
    command = f"make figures PROFILE={one.profile} ARGS=notebook_{one.notebook}"
    return (
        f":::{{container}} about-figure\n{one.caption}\n\n{where}; "
        f"{{download}}`numbers (CSV) <{file}.csv>`, {{download}}`SVG <{file}.svg>`. Commit "
        f"`{told['commit']}`, {told['processor']}, n = {told['n']}. Again: `{command}`\n:::\n"
    )


def embedded(one: Drawn, root: Path) -> str:
    """The figure and the lines under it, for a page that is no notebook."""
    folder = "small" if one.profile == "small" else "notebooks"
    title = re.sub(r"_.*", "", one.notebook)
    where = f"Drawn by [notebook {title}](/{folder}/{one.notebook}.ipynb#{one.label})"
    return picture(one) + about(one, root, where)


def picture(one: Drawn) -> str:
    """The figure alone, in Markdown."""
    image = f"/figures/{one.profile}/{one.name}.png"
    return f"::::{{container}} picture\n```{{image}} {image}\n:alt: {one.caption}\n```\n::::\n"
