"""Make the dataset to attach on Kaggle: the project, and wheels of what the image lacks.

.venv/bin/python workflow/kaggle/bundle.py --user NAME FOLDER
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parents[2]
SLUG = "qlab-bundle"
FOLDERS = ("src", "data", "figures", "notebooks", "workflow")  # what a session needs
SOURCE_ONLY = "auto-gptq"  # has no wheels after Python 3.11; without kernels it is pure Python
# Kaggle's image is Ubuntu 22.04, whose glibc is 2.35; a wheel for an older one runs there too.
PLATFORMS = [
    *(f"manylinux_2_{minor}_x86_64" for minor in range(35, 16, -1)),
    "manylinux2014_x86_64",
]
User = Annotated[str, typer.Option(help="Your user name on Kaggle")]


def write(user: User, folder: Path) -> None:
    """Fill a new folder that `kaggle datasets create --dir-mode zip -p FOLDER` uploads."""
    folder.mkdir(parents=True)
    skipped = shutil.ignore_patterns(
        "__pycache__", "*.egg-info", ".*", "full*", "smoke*", "mini-*-*"
    )
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / "project" / name, ignore=skipped)
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, folder / "project")
    wheels(folder / "wheels")
    metadata = {"title": "qlab bundle", "id": f"{user}/{SLUG}", "licenses": [{"name": "MIT"}]}
    (folder / "dataset-metadata.json").write_text(json.dumps(metadata, indent=2) + "\n")


def wheels(folder: Path) -> None:
    """Get the wheels of missing.txt for Kaggle's Python, whichever Python runs this."""
    lines = (ROOT / "workflow" / "kaggle" / "missing.txt").read_text().splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    source = [line for line in listed if line.startswith(SOURCE_ONLY)]
    image = [word for platform in PLATFORMS for word in ("--platform", platform)]
    image += ["--python-version", "3.12", "--only-binary", ":all:"]
    pip("download", *image, "--dest", folder, *(line for line in listed if line not in source))
    pip("wheel", "--no-binary", SOURCE_ONLY, "--no-build-isolation", "-w", folder, *source)
    (built,) = folder.glob("auto_gptq-*")
    assert built.name.endswith("none-any.whl"), f"{built.name} is for this machine alone"


def pip(command: str, *words: str | Path) -> None:
    """Run pip without dependencies and without kernels."""
    call = [sys.executable, "-m", "pip", command, "--quiet", "--no-deps", *map(str, words)]
    subprocess.run(call, check=True, env={**os.environ, "BUILD_CUDA_EXT": "0"})


if __name__ == "__main__":
    typer.run(write)
