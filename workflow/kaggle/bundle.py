"""The dataset to attach on Kaggle: the project, and wheels of what the image lacks."""

import json
import re
import shutil
from pathlib import Path

from qlab.core.cache import written_whole
from qlab.core.errors import QlabError
from qlab.kaggle import install

PYTHON = "3.12"  # of Kaggle's image
# The image is Ubuntu 22.04, whose glibc is 2.35; a wheel for an older one runs there too.
PLATFORMS = [
    *(f"manylinux_2_{minor}_x86_64" for minor in range(35, 16, -1)),
    "manylinux2014_x86_64",
]
PROJECT = ("src", "data", "figures", "notebooks", "workflow", "pyproject.toml", "README.md")
PROJECT += ("LICENSE", "requirements.lock")
SLUG = "qlab-bundle"
USER = re.compile(r"[a-z0-9][a-z0-9-]{2,}")  # a Kaggle user's slug


def write(folder: Path, user: str, project: Path, found: Path | None = None) -> None:
    """Fill a new folder: `project/`, `wheels/`, dataset-metadata.json for `kaggle datasets create`.

    `found` is a folder of wheels to take before asking PyPI. QlabError where the folder is there.
    """
    if folder.exists():
        raise QlabError(f"{folder} exists already; remove it or choose another folder.")
    check_user(user)
    with written_whole(folder) as part:
        (part / "wheels").mkdir(parents=True)
        copy_project(project, part / "project")
        wheels(part / "wheels", project, found)
        metadata = {"title": "qlab bundle", "id": f"{user}/{SLUG}", "licenses": [{"name": "MIT"}]}
        (part / "dataset-metadata.json").write_text(json.dumps(metadata, indent=2) + "\n")


def check_user(user: str) -> None:
    """QlabError for what is no user's name on Kaggle."""
    if not USER.fullmatch(user):
        raise QlabError(
            f"{user!r} is no user's name on Kaggle; give the one in your profile's address, "
            "--user NAME."
        )


def copy_project(project: Path, target: Path) -> None:
    """The parts of a checkout that a session needs, as they are now."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", ".ipynb_checkpoints", ".*",
                                     "full*", "smoke*", "mini-*-*")  # fmt: skip
    target.mkdir(parents=True)
    for name in PROJECT:
        source = project / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=ignored)
        elif source.is_file():
            shutil.copy(source, target / name)


def wheels(folder: Path, project: Path, found: Path | None = None) -> None:
    """Wheels of qlab and of everything in missing.txt, for Kaggle's Python."""
    listed = install.listed(project / "workflow" / "kaggle" / "missing.txt")
    links = ["--find-links", str(found)] if found else []
    platforms = [part for platform in PLATFORMS for part in ("--platform", platform)]
    for_python = ["--python-version", PYTHON, "--only-binary", ":all:", *platforms]
    ready = [f"{n}=={v}" for n, v in listed.items() if n != install.SOURCE_ONLY]
    install.pip("download", *for_python, *links, "--dest", folder, *ready)
    built = ["--no-binary", install.SOURCE_ONLY, "--no-build-isolation", *links]
    source = f"{install.SOURCE_ONLY}=={listed[install.SOURCE_ONLY]}"
    install.pip("wheel", *built, "--wheel-dir", folder, source)
    with install.sources(project) as copy:
        install.pip("wheel", "--wheel-dir", folder, copy)
    if bound := [f.name for f in folder.glob("auto_gptq-*") if "none-any" not in f.name]:
        raise QlabError(f"{bound[0]} is not pure Python: it holds kernels for this machine alone.")
