"""The report of a profile's records and figures, as one HTML page that needs no network."""

import os
from pathlib import Path

import jinja2

from qlab.claims import chooser, chooser_words
from qlab.claims.chooser import KINDS
from qlab.core import paths
from qlab.core.cache import written_whole
from qlab.core.errors import QlabError
from qlab.run.report import answers, ledger, methods, pictures

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
    chapters = pictures.chapters(profile, root)
    found = chooser.read_all(profile)
    if not found:
        raise QlabError(
            f"There are no records of the profile '{profile}' to report; run make figures "
            f"PROFILE={profile} first."
        )
    claims = ledger.read(profile)
    measured = methods.experiments(profile, [c.experiment for c in chapters if c.experiment])
    return _environment().get_template("page.html.j2").render(
        profile=profile,
        headline=answers.headline(found),
        missing=answers.missing(found),
        advice=answers.advice(found),
        fronts=[_front(name, table) for name, table in found.items()],
        counts=None if claims is None else ledger.counts(claims),
        claims=None if claims is None else ledger.rows(claims),
        absent=ledger.ABSENT,
        chapters=chapters,
        measured=measured,
        machines=methods.machines(measured),
        flat=methods.flat,
        root=root,
        address=lambda path: Path(os.path.relpath(path, folder)).as_posix(),
        css=(_FORM / "page.css").read_text(encoding="utf-8"),
        script=(_FORM / "page.js").read_text(encoding="utf-8"),
    )  # fmt: skip


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FORM), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def _front(name: str, table) -> dict:
    """The variants that nothing beats on size or on time, with what the table sorts by."""
    kind = KINDS[name]
    by = {cost: chooser.standing(table, cost) for cost in ("share", "time")}
    front = table[(by["share"] == "unbeaten") | (by["time"] == "unbeaten")]
    rows = [
        row.to_dict()
        | {
            "quality_words": chooser_words.quality(row),
            "time_words": chooser_words.time(row),
            "on": " and ".join(
                word for word, cost in (("size", "share"), ("time", "time"))
                if by[cost][i] == "unbeaten"
            ),
        }
        for i, row in front.iterrows()
    ]  # fmt: skip
    return {"kind": kind, "rows": rows, "all": len(table)}
