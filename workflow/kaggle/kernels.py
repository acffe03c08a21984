"""Make a folder for each notebook, for `kaggle kernels push -p FOLDER/NOTEBOOK`.

.venv/bin/python workflow/kaggle/kernels.py --user NAME -p profile=full [FOLDER]
"""

import base64
import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import nbformat
import typer
import yaml

from qlab.core.errors import QlabError
from qlab.run.parameters import parameters_of, parse_for, read_notebook

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "workflow" / "kaggle"
PUBLISHED = {"profile=small", "profile=full"}  # the attached data is for these
KERNELS = ROOT / "build" / "kaggle" / "kernels"
User = Annotated[str, typer.Option(help="Your user name on Kaggle")]
Folder = Annotated[Path, typer.Argument(help="Where to write")]
Given = Annotated[list[str] | None, typer.Option("-p", "--parameter", help="NAME=VALUE")]


def metadata(stem: str, user: str, wants: dict[str, Any]) -> dict[str, Any]:
    """kernel-metadata.json, as the kaggle client reads it; the id is the title as Kaggle slugs it.

    `wants` is the notebook's entry in kernels.yaml, or empty.
    """
    title = f"qlab {stem.replace('_', ' ')}"[:50].strip()  # Kaggle's limit
    attached = [p.split("/") for p in wants.get("attach", {}).values()]
    datasets = ["/".join(p[1:3]) for p in attached if p[0] == "datasets" and p[1] != "*"]
    models = ["/".join(p[1:6]) for p in attached if p[0] == "models"]
    facts = {
        "id": f"{user}/{title.lower().replace(' ', '-')}", "title": title,
        "code_file": f"{stem}.ipynb", "language": "python", "kernel_type": "notebook",
        "is_private": True, "enable_gpu": bool(wants.get("gpu")), "enable_tpu": False,
        "enable_internet": False, "dataset_sources": [f"{user}/qlab-bundle", *datasets],
        "model_sources": models, "competition_sources": [], "kernel_sources": [],
    }  # fmt: skip
    # Otherwise Kaggle chooses, perhaps a P100, for which its PyTorch has no kernels.
    return facts | ({"machine_shape": "NvidiaTeslaT4"} if wants.get("gpu") else {})


def notebook(source: Path, assignments: list[str]) -> Any:
    """The notebook with cell.py inserted before its parameters, and the assignments after them."""
    nb = read_notebook(source)
    values = parse_for(parameters_of(nb, source.name), assignments, source.name)
    values = [f"{name} = {value!r}" for name, value in values.items()]
    first = [cell.metadata.get("tags", [])[:1] for cell in nb.cells].index(["parameters"])
    if values:
        tags = {"tags": ["injected-parameters"]}
        nb.cells.insert(first + 1, nbformat.v4.new_code_cell("\n".join(values), metadata=tags))
    nb.cells.insert(first, nbformat.v4.new_code_cell((HERE / "cell.py").read_text()))
    for cell in (c for c in nb.cells if c.cell_type == "markdown"):  # its paths do not exist there
        for path in re.findall(r"!\[[^]]*\]\((\.\./[^)]+\.png)\)", cell.source):
            picture = base64.b64encode((source.parent / path).read_bytes()).decode()
            name = Path(path).name
            cell.setdefault("attachments", {})[name] = {"image/png": picture}
            cell.source = cell.source.replace(f"]({path})", f"](attachment:{name})")
    return nb


def write(user: User, folder: Folder = KERNELS, parameter: Given = None) -> list[Path]:
    """Write a folder for each notebook, with those parameters that it has; returns the folders."""
    wants = yaml.safe_load((HERE / "kernels.yaml").read_text(encoding="utf-8"))
    assignments, root = set(parameter or ()), ROOT / "notebooks"
    sources = sorted([*root.glob("*.ipynb"), *root.glob("training/*.ipynb")])
    known = {s: set(parameters_of(read_notebook(s), s.name)) for s in sources}
    own = {s: [a for a in parameter or () if a.partition("=")[0] in known[s]] for s in sources}
    if unknown := assignments.difference(*own.values()):
        raise QlabError(f"No notebook has a parameter for {', '.join(sorted(unknown))}.")
    for source in sources:
        nb = notebook(source, own[source])
        target = folder / source.stem
        target.mkdir(parents=True, exist_ok=True)
        entry = wants.get(source.stem, {}) if PUBLISHED.intersection(own[source]) else {}
        facts = json.dumps(metadata(source.stem, user, entry), indent=2)
        (target / "kernel-metadata.json").write_text(facts + "\n")
        nbformat.write(nb, target / source.name)
    return [folder / source.stem for source in sources]


if __name__ == "__main__":
    try:
        typer.run(write)
    except QlabError as error:
        sys.exit(f"qlab: {error}")
