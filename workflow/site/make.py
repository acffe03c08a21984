"""Build the site: `python workflow/site/make.py --profile mini` writes build/site/index.html.

Nothing is measured or executed: the pages are docs/site/ (Markdown, into which Jinja puts numbers,
figures and tables from the records), the notebooks that `make figures` executed, those of
docs/executed/small/, the cards, the changelog, and pdoc's API pages. They are laid out in
build/site-source/ for Sphinx, which needs no network; no page loads anything from another host.
"""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import drawn
import executed
import jinja2
import nbformat
import tables
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from launch import make as launch  # noqa: E402

from qlab.claims import chooser
from qlab.core import records
from qlab.core.errors import QlabError

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ("CHANGELOG.md", "CONTRIBUTING.md", "data/README.md", "data/evidence/README.md")
FILES = ("LICENSE", "data/mini_lambada.yaml", "data/mini_reviews.yaml", "data/claims.yaml")


def notebooks(profile: str) -> dict[str, list[Path]]:
    """Executed notebooks, by the folder of the site that they go to.

    QlabError: `make figures` has not run all notebooks of the profile.
    """
    folder = ROOT / "build" / profile / "notebooks"
    wanted = [folder / f"{name}.ipynb" for name in drawn.listed(ROOT)]
    missing = [file.name for file in wanted if not file.is_file()]
    if missing:
        raise QlabError(
            f"The site shows executed notebooks, and {folder.relative_to(ROOT)}/ lacks "
            f"{', '.join(missing)}: run make figures PROFILE={profile} first."
        )
    return {
        "notebooks": wanted,
        "small": sorted((ROOT / "docs" / "executed" / "small").glob("*.ipynb")),
    }


def words(profile: str, lite: str) -> dict[str, Callable | str]:
    """What pages of docs/site/ can use in double braces."""
    found = {tier: tables.read_all(tier) for tier in drawn.TIERS}
    figures = drawn.figures(ROOT)
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

    def row(tier: str, kind: str, variant: str):
        return found[tier][kind].set_index("variant").loc[variant]

    def points(tier: str, kind: str, variant: str) -> str:
        """Quality minus float, in points, with its interval."""
        one = row(tier, kind, variant)
        ends = (f"{100 * one[f'quality{end}']:+z.1f}" for end in ("", "_low", "_high"))
        return "{} [{}, {}]".format(*ends)

    def record(experiment: str, tier: str, form: str = ".3f", scale: float = 1, **keys) -> str:
        """A single record, picked by its columns; without a condition unless one is named. The tier
        may be "benchmarks"."""
        own = ROOT / "benchmarks" / "results" / f"{experiment}.csv"
        benched = tier == "benchmarks"
        table = records.read_file(own) if benched else records.read(experiment, tier)
        one = records.pick(table, **{"condition": None} | keys).iloc[0]
        return records.interval(one, form, scale)

    return {
        "profile": profile,
        "points": points,
        "record": record,
        "time": lambda *which: chooser.time(row(*which)),
        "share": lambda *which: f"{row(*which)['share']:.2f}",
        "figure": lambda tier, name: drawn.embedded(figures[tier, name], ROOT),
        "caption": lambda tier, name: figures[tier, name].caption,
        "choices": lambda: tables.choices(drawn.TIERS),
        "methods": lambda: tables.methods(ROOT / "docs" / "site" / "methods.yaml"),
        "kernels": lambda: tables.kernels(ROOT),
        "claims": lambda: tables.claims(ROOT, profile),
        "counts": lambda: tables.counts(ROOT, profile),
        "headline": tables.headline,
        "metrics": lambda: tables.metrics(ROOT),
        "origins": lambda: tables.origins(ROOT),
        "cards": lambda: tables.cards(ROOT),
        "figures": list(figures.values()),
        "listed": drawn.listed(ROOT),
        "links": lambda number: launch.links(number, lite),
        "rooms": re.findall(r"^\| `(\w+)/` \| [^|]* \| ([^|]*) \|", text, re.M),
    }


def lay_out(source: Path, profile: str, lite: str) -> None:
    """Write all that Sphinx reads under `source`, made anew; `lite` is as in `launch.links`."""
    shutil.rmtree(source, ignore_errors=True)
    written = ROOT / "docs" / "site"
    shutil.copytree(written, source)
    for tier in drawn.TIERS:
        shutil.copytree(ROOT / "figures" / tier, source / "figures" / tier)
    for name in FILES:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    for name in PROJECT:
        text = (ROOT / name).read_text(encoding="utf-8")
        text = re.sub(r"\]\((\.\./)*(README|START)\.md", r"](/index.md", text)
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "notebooks" / "training", source / "notebooks" / "training")
    figures = drawn.figures(ROOT)
    by_call = executed.drawing(ROOT, {name for _, name in figures})
    for folder, files in notebooks(profile).items():
        tier = "small" if folder == "small" else profile
        (source / folder).mkdir(exist_ok=True)
        for file in files:
            own = [f for f in figures.values() if (f.profile, f.notebook) == (tier, file.stem)]
            links = launch.links(file.name[:2], lite and f"../{lite}")
            start = f"Start it: {links}" if links else ""
            book = executed.page(file, {f.name: f for f in own}, by_call, ROOT, start)
            nbformat.write(book, source / folder / file.name)
    pages = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    pages.globals |= words(profile, lite)
    for file in written.rglob("*.md"):
        text = pages.from_string(file.read_text(encoding="utf-8")).render()
        (source / file.relative_to(written)).write_text(text, encoding="utf-8")


def main(profile: str = "mini", api: bool = True, lite: bool = False) -> None:
    """Build the site from the notebooks of a profile; --no-api leaves the API pages out, --lite
    links to the JupyterLite that site.yml builds beside it."""
    begun, build = time.monotonic(), ROOT / "build"
    source, target = build / "site-source", build / "site"
    try:
        lay_out(source, profile, "./" if lite else "")
    except QlabError as error:
        sys.exit(f"qlab: {error}")
    pages = None
    if api:  # alongside Sphinx: it imports TensorFlow and PyTorch, and takes as long
        script = ROOT / "workflow" / "api_pages.py"
        told = [sys.executable, script, build / "api", "../index.html"]
        pages = subprocess.Popen(told, stdout=subprocess.DEVNULL)
    shutil.rmtree(target, ignore_errors=True)  # no page of what is gone stays behind
    call = [sys.executable, "-m", "sphinx", "--quiet", "-W", "--keep-going", "-j", "auto", "-d"]
    done = subprocess.run([*call, build / "site-doctrees", source, target])
    failed = pages.wait() if pages else 0  # whatever Sphinx says, nothing is left running
    if done.returncode or failed:
        sys.exit("qlab: the site has faults, named above.")
    if api:
        shutil.copytree(build / "api", target / "api")
    print(target / "index.html", f"({time.monotonic() - begun:.0f} seconds)")


if __name__ == "__main__":
    typer.run(main)
