"""A toy project with the real Makefile and what it calls, whose steps take no time."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from conftest import ROOT

# The toy's modules stand before the installed ones.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "QLAB_HOME"} | {"PYTHONPATH": "src"}
MAKE = ["make", "-o", ".venv/.installed"]  # its .venv is the one the tests run in


def written(project: Path, files: Mapping[str, str], real: Iterable[str]) -> Path:
    """A project of these texts, and of these files and folders of the real one."""
    files = {"requirements.lock": "", "pyproject.toml": "", "src/qlab/__init__.py": "", **files}
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    always = ["Makefile", "src/qlab/core", "workflow/exclusive.py", "workflow/dependencies.py"]
    for name in (*always, *real):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, project / name)
    (project / ".venv").symlink_to(sys.prefix)
    return project


def make(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    """`make` with these arguments; what it runs says so in the file `log`."""
    call = [*MAKE, *arguments]
    return subprocess.run(call, cwd=project, env=ENVIRONMENT, capture_output=True, text=True)


def ran(project: Path) -> list[str]:
    """What was logged since it was asked last, sorted."""
    (log := project / "log").touch()
    found = log.read_text().split()
    log.unlink()
    return sorted(found)
