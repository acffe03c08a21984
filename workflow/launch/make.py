"""One-click starts: `python workflow/launch/make.py build/launch` writes notebooks for services.

A service's first cell is put before the parameters, with the repository's address filled in.
`--repository OWNER/NAME` writes that address into services.yaml and README's links instead.
"""

import shutil
from pathlib import Path
from typing import Annotated, Any

import nbformat
import typer
import yaml

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
NAMED = ("workflow/launch/services.yaml", "README.md")  # files that name the repository


def services() -> dict[str, dict[str, Any]]:
    """The services of services.yaml, each with its notebooks' paths and addresses by number."""
    said = yaml.safe_load((HERE / "services.yaml").read_text(encoding="utf-8"))
    for service in said["services"].values():
        numbers = service.get("notebooks", said["notebooks"])
        files = {n: next((ROOT / "notebooks").glob(f"{n}_*.ipynb")) for n in numbers}
        address = service["address"].replace("{repository}", said["repository"])
        service["files"] = files
        service["addresses"] = {n: address.format(notebook=f.stem) for n, f in files.items()}
        service["repository"] = said["repository"]
    return said["services"]


def first_cell(service: dict[str, Any]) -> str:
    """The template's code with the repository's address filled in."""
    code = (HERE / service["cell"]).read_text(encoding="utf-8")
    address = f"https://github.com/{service['repository']}"
    named = code.replace("https://github.com/REPOSITORY", address)
    return named.replace('REPOSITORY = ""', f'REPOSITORY = "{address}"')


def write(folder: Path) -> list[Path]:
    """Write every service's notebooks under `folder`; returns their paths."""
    written = []
    for name, service in services().items():
        for source in service["files"].values() if "cell" in service else ():
            book = nbformat.read(source, 4)
            tags = [cell.metadata.get("tags", []) for cell in book.cells]
            cell = nbformat.v4.new_code_cell(first_cell(service), id="launch")
            book.cells.insert(tags.index(["parameters"]), cell)
            written.append(folder / name / source.name)
            written[-1].parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(book, written[-1])
        for part in service.get("brings", []):
            hidden = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / part, folder / name / part, ignore=hidden, dirs_exist_ok=True)
    return written


def links(number: str, lite: str = "") -> str:
    """Links that start one notebook, as Markdown; `lite` is the path from the page to the site's
    root, and is empty if JupyterLite was not built."""
    found = {s["name"]: s["addresses"].get(number) for s in services().values()}
    told = {n: a if "://" in a else lite and lite + a for n, a in found.items() if a}
    return " ".join(f"[{name}]({address})" for name, address in told.items() if address)


Repository = Annotated[str, typer.Option(help="OWNER/NAME of the project on GitHub")]
Folder = Annotated[Path, typer.Argument(help="Where to write")]


def main(folder: Folder = ROOT / "build" / "launch", repository: Repository = "") -> None:
    """Write the notebooks that services open, or the repository's address where it is named."""
    if repository:
        said = yaml.safe_load((HERE / "services.yaml").read_text(encoding="utf-8"))
        for file in (ROOT / name for name in NAMED):
            text = file.read_text(encoding="utf-8")
            file.write_text(text.replace(said["repository"], repository), encoding="utf-8")
        return
    print(f"{len(write(folder))} notebooks in {folder}")


if __name__ == "__main__":
    typer.run(main)
