"""Fresh clones of this checkout that use its .venv, and what may be asked of their files."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
from PIL import Image
from safetensors.numpy import load_file

from qlab.core import records, tflite_graph
from qlab.run import compare

ROOT = Path(__file__).resolve().parents[2]


def clone(folder: Path) -> Path:
    """What is committed, in a new folder, as a newcomer has it after `make install`."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def make_figures(folder: Path, profile: str, log: Path) -> subprocess.Popen:
    """`make figures` in the clone, in a process group of its own; what it says goes to `log`."""
    dropped = ("MAKEFLAGS", "MAKELEVEL", "PROFILE", "ARGS", "QLAB_HOME")
    # The clone's own package, before the one that the .venv knows; -o: nothing is to be installed.
    environment = {k: v for k, v in os.environ.items() if k not in dropped}
    environment["PYTHONPATH"] = str(folder / "src")
    call = ["make", "-o", ".venv/.installed", "figures", f"PROFILE={profile}"]
    with log.open("a") as said:
        to = {"stdout": said, "stderr": said, "start_new_session": True}
        return subprocess.Popen(call, cwd=folder, env=environment, **to)


def ended(process: subprocess.Popen, log: Path, seconds: float | None = None) -> None:
    """Wait for it, so long at most; an error with the end of its log if it failed."""
    if process.wait(timeout=seconds) != 0:
        raise SystemExit(f"make figures failed:\n{log.read_text()[-3000:]}")


def half_files(folder: Path) -> list[str]:
    """Files under a name that is read which cannot be read, and why; none, if all goes well."""
    found = []
    for part in ("data/results", "figures", "build"):
        for file in sorted((folder / part).rglob("*")):
            hidden = any(n.startswith(".") for n in file.relative_to(folder).parts)  # being written
            try:
                if file.is_file() and not hidden:
                    of_records = file.suffix == ".csv" and "results" in file.parts
                    read = records.read_file if of_records else _READERS.get(file.suffix)
                    read and read(file)
            except Exception as error:  # whatever a reader says of a half file
                found.append(f"{file.relative_to(folder)}: {error}")
    return found


_READERS = {
    ".csv": pd.read_csv,
    ".json": lambda file: json.loads(file.read_text()),
    ".ipynb": lambda file: nbformat.read(file, 4),
    ".png": lambda file: Image.open(file).load(),
    ".svg": ElementTree.parse,
    ".parquet": pd.read_parquet,
    ".npz": lambda file: dict(np.load(file)),
    ".npy": np.load,
    ".safetensors": load_file,
    ".tflite": tflite_graph.read,
}


def differences(a: pd.DataFrame, b: pd.DataFrame, tolerance=compare.TOLERANCE) -> list[str]:
    """What differs in two tables' deterministic records, in words; times may, as they like."""
    found = compare.compare(a, b, tolerance)
    timed = found["clock"] & ~found["kind"].isin(["only in A", "only in B"])
    passed = bool((timed | (found["kind"] == "equal")).all())
    return [] if passed else [compare.report(found, passed, 50)]
