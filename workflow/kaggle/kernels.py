"""A folder for each notebook that `kaggle kernels push` takes: the notebook and its metadata."""

import base64
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qlab.core import paths
from qlab.core.cache import written_whole
from qlab.core.errors import QlabError
from qlab.kaggle import bundle
from qlab.run.parameters import parameters_of, parse_for, read_notebook

TABLE = "kernels.yaml"  # in workflow/kaggle: what the full profile of a notebook wants
FIELDS = {"gpu", "datasets", "models"}
LONGEST_TITLE = 50  # characters, Kaggle's limit


def notebooks(project: Path) -> dict[str, Path]:
    """Every notebook of the project by its path without the ending, training notebooks last."""
    root = project / "notebooks"
    found = (p for p in root.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
    return {p.relative_to(root).with_suffix("").as_posix(): p for p in sorted(found)}


def table(project: Path) -> dict[str, dict[str, Any]]:
    """What stands in kernels.yaml; QlabError for a field or a notebook that there is not."""
    import yaml

    file = project / "workflow" / "kaggle" / TABLE
    entries = yaml.safe_load(file.read_text(encoding="utf-8"))
    for name, entry in entries.items():
        if unknown := set(entry) - FIELDS:
            raise QlabError(f"{file}, {name}: unknown {', '.join(sorted(unknown))}.")
    if unknown := set(entries) - set(notebooks(project)):
        raise QlabError(f"{file} names {', '.join(sorted(unknown))}, which is no notebook.")
    return entries


def metadata(stem: str, entry: dict[str, Any], user: str, full: bool) -> dict[str, Any]:
    """kernel-metadata.json of a notebook, as the kaggle client reads it.

    The internet is off. A GPU and the published data are asked for by the full profile alone. The
    id is the title as Kaggle makes a slug of it.
    """
    title = f"qlab {stem.replace('_', ' ')}"[:LONGEST_TITLE].strip()
    gpu = bool(full and entry.get("gpu"))
    found: dict[str, Any] = {
        "id": f"{user}/{title.lower().replace(' ', '-')}",
        "title": title,
        "code_file": f"{stem}.ipynb",
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": gpu,
        "enable_tpu": False,
        "enable_internet": False,
        "dataset_sources": [f"{user}/{bundle.SLUG}", *(entry.get("datasets", []) if full else [])],
        "model_sources": entry.get("models", []) if full else [],
        "competition_sources": [],
        "kernel_sources": [],
    }
    if gpu:
        found["machine_shape"] = "NvidiaTeslaT4"  # else Kaggle chooses; its P100 cannot run torch
    return found


def notebook(source: Path, cell: str, assignments: Iterable[str]) -> Any:
    """The notebook with qlab's cell in front of its first code cell, and parameters set."""
    import nbformat

    nb = read_notebook(source)
    declared = parameters_of(nb, source.name)
    values = parse_for(declared, assignments, source.name)
    first = [cell.metadata.get("tags", [])[:1] for cell in nb.cells].index(["parameters"])
    given = [f"{name} = {value!r}" for name, value in values.items()]
    if given:
        tags = {"tags": ["injected-parameters"]}
        nb.cells.insert(first + 1, nbformat.v4.new_code_cell("\n".join(given), metadata=tags))
    nb.cells.insert(first, nbformat.v4.new_code_cell(cell))
    for text in (one for one in nb.cells if one.cell_type == "markdown"):
        _attach_pictures(text, source.parent)
    return nb


def _attach_pictures(cell: Any, folder: Path) -> None:
    """Carry a text cell's pictures in the notebook: on Kaggle its paths lead nowhere."""
    for path in re.findall(r"!\[[^]]*\]\((\.\./[^)]+\.png)\)", cell.source):
        file = folder / path
        if file.is_file():
            picture = {"image/png": base64.b64encode(file.read_bytes()).decode()}
            cell["attachments"] = {**cell.get("attachments", {}), file.name: picture}
            cell.source = cell.source.replace(f"]({path})", f"](attachment:{file.name})")


def write(folder: Path, user: str, project: Path, assignments: Iterable[str] = ()) -> list[Path]:
    """A folder per notebook below `folder`, with the parameters that it has; returns them.

    `assignments` are `name=value` texts; a name that a notebook lacks is left out for it, one that
    no notebook has is a QlabError.
    """
    import nbformat

    bundle.check_user(user)
    cell = (project / "workflow" / "kaggle" / "cell.py").read_text(encoding="utf-8")
    assignments, wants, known, written = list(assignments), table(project), set(), []
    for name, source in notebooks(project).items():
        declared = parameters_of(read_notebook(source), source.name)
        known |= set(declared)
        own = [text for text in assignments if text.partition("=")[0] in declared]
        nb = notebook(source, cell, own)
        target = folder / source.stem
        facts = metadata(source.stem, wants.get(name, {}), user, "profile=full" in own)
        with written_whole(target / "kernel-metadata.json") as part:
            part.write_text(json.dumps(facts, indent=2) + "\n")
        with written_whole(target / source.name) as part:
            nbformat.write(nb, part)
        written.append(target)
    if unknown := [text for text in assignments if text.partition("=")[0] not in known]:
        raise QlabError(f"No notebook has a parameter for {unknown[0]!r}.")
    return written


def default_folder() -> Path:
    """Where the folders are written unless another is named."""
    return paths.build() / "kaggle" / "kernels"
