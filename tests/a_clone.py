"""A copy of the project for tests that change it, or that run make."""

import shutil
import sys
from pathlib import Path

from conftest import ROOT

SET_OUTSIDE = ("QLAB_HOME", "QLAB_DATA", "MAKEFLAGS", "MAKELEVEL", "PROFILE", "ARGS")
# make believes that .venv, a link to the one of the tests, is installed.
MAKE = ["make", "-o", ".venv/.installed"]


def of_the_project(folder: Path, monkeypatch) -> Path:
    """The project as it is cloned, in `folder`; `import qlab` means the copy's from now on."""
    for name in ("src", "workflow", "notebooks", "data", "figures"):
        leave = shutil.ignore_patterns("__pycache__", "smoke", "*-*-*", ".ipynb_checkpoints")
        shutil.copytree(ROOT / name, folder / name, ignore=leave)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    (folder / ".venv").symlink_to(sys.prefix)
    monkeypatch.setenv("PYTHONPATH", str(folder / "src"))
    for name in SET_OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    return folder
