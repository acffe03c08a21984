"""A new experiment that runs: its notebook, the modules it calls, its entry for `make figures`.

What it measures is small, so that every file holds what such a file holds; the author replaces it.
"""

import re
from pathlib import Path

import jinja2

from qlab.core import paths
from qlab.core.cache import written_whole
from qlab.core.errors import QlabError

_FORMS = {  # what is written, relative to the project: the form it is made from
    "src/qlab/{name}.py": "measure.py.j2",
    "src/qlab/{name}_figures.py": "figures.py.j2",
    "notebooks/{stem}.ipynb": "notebook.ipynb.j2",
}
_TABLE, _ENTRY = "workflow/notebooks.yaml", "entry.yaml.j2"


def create(stem: str) -> list[Path]:
    """Write the files of an experiment, such as `06_round_a_bell_curve`; returns what was written.

    QlabError, and nothing is written, where the name has another form, its number or a file of it
    is taken, or there is no checkout to write to.
    """
    number, name = _parts(stem)
    root = paths.checkout()
    if root is None:
        raise QlabError("A new experiment needs a checkout of qlab; get one with git clone.")
    targets = {root / place.format(stem=stem, name=name): form for place, form in _FORMS.items()}
    taken = [*root.glob(f"notebooks/{number}_*.ipynb"), *(t for t in targets if t.exists())]
    if taken:
        there = taken[0].relative_to(root)
        raise QlabError(f"There is {there} already; take another number or name than {stem}.")
    given = {"stem": stem, "number": number, "name": name, "title": _title(name)}
    for target, form in targets.items():
        _write(target, _filled(form, given))
    table = root / _TABLE
    _write(table, table.read_text(encoding="utf-8") + _filled(_ENTRY, given))
    return [*targets, table]


def _parts(stem: str) -> tuple[str, str]:
    """The number and the name in `06_round_a_bell_curve`."""
    if not (found := re.fullmatch(r"(\d\d)_([a-z][a-z0-9]*(?:_[a-z0-9]+)*)", stem)):
        raise QlabError(
            "An experiment is named by two digits and small words, a verb first, such as "
            f"06_round_a_bell_curve; not {stem!r}."
        )
    return found[1], found[2]


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _filled(form: str, given: dict[str, str]) -> str:
    loader = jinja2.PackageLoader("qlab", "skeleton")
    options = {"undefined": jinja2.StrictUndefined, "keep_trailing_newline": True}
    return jinja2.Environment(loader=loader, **options).get_template(form).render(given)


def _write(target: Path, text: str) -> None:
    with written_whole(target) as part:
        part.write_text(text, encoding="utf-8")
