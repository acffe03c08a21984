"""Fresh clones of this checkout that use its .venv, and what may be asked of their files."""

import base64
import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
from PIL import Image
from safetensors.numpy import load_file

from qlab.core import records
from qlab.run import compare

ROOT = Path(__file__).resolve().parents[2]
# Of all clones of a run, whatever is committed meanwhile.
COMMIT = subprocess.run(
    ["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True
).stdout.strip()


def clone(folder: Path) -> Path:
    """COMMIT in a new folder, as a newcomer has it after `make install`."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    subprocess.run(["git", "checkout", "--quiet", COMMIT], cwd=folder, check=True)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def make_figures(folder: Path, profile: str, log: Path, **more: str) -> subprocess.Popen:
    """`make figures` in the clone, in a process group of its own; what it says goes to `log`."""
    dropped = ("MAKEFLAGS", "MAKELEVEL", "PROFILE", "ARGS", "QLAB_HOME")
    environment: Mapping[str, str] = {k: v for k, v in os.environ.items() if k not in dropped}
    # The clone's own package, before the one that the .venv knows; -o: nothing is to be installed.
    own = folder / "src"
    environment = {**environment, "PYTHONPATH": str(own if own.is_dir() else ROOT / "src"), **more}
    call = ["make", "-o", ".venv/.installed", "figures", f"PROFILE={profile}"]
    with log.open("a") as said:
        to = {"stdout": said, "stderr": said, "start_new_session": True}
        return subprocess.Popen(call, cwd=folder, env=environment, **to)


def run_to_the_end(folder: Path, profile: str, log: Path, **more: str) -> float:
    """Seconds that a whole `make figures` takes; an error with the end of its log if it fails."""
    start = time.monotonic()
    if make_figures(folder, profile, log, **more).wait() != 0:
        raise SystemExit(f"make figures failed in {folder}:\n{log.read_text()[-3000:]}")
    return time.monotonic() - start


Finished = dict[Path, tuple[int, int]]


def finished(folder: Path, profile: str) -> Finished:
    """What need not be done again: notebooks that Snakemake has as done, artefacts that are whole.

    By path, its `identity`: another one means that it was made again.
    """
    begun = {path.name for path in (folder / ".snakemake" / "incomplete").glob("*")}
    notebooks = (folder / "build" / profile / "notebooks").glob("[!.]*.ipynb")
    # How Snakemake calls the file that says an output is being made.
    names = {p: base64.b64encode(str(p.relative_to(folder)).encode()).decode() for p in notebooks}
    done = [p for p, name in names.items() if name.replace("/", "-") not in begun]
    artefacts = (folder / "build" / "artefacts").glob("*/[!.]*")
    # A half quantized model is there to go on from, and becomes the whole one.
    done += [path for path in artefacts if ".partial" not in path.name]
    return {path: identity(path) for path in done}


def identity(path: Path) -> tuple[int, int]:
    """The number that the file system gave a file or an artefact's folder, and its oldest time."""
    files = path.rglob("*") if path.is_dir() else [path]
    return path.stat().st_ino, min((file.stat().st_mtime_ns for file in files), default=0)


def half_files(folder: Path) -> list[str]:
    """Files under a name that is read which cannot be read, and why; none, if all goes well."""
    found = []
    for part in ("data/results", "figures", "build"):
        for file in sorted((folder / part).rglob("*")):
            hidden = any(n.startswith(".") for n in file.relative_to(folder).parts)  # being written
            try:
                if file.is_file() and not hidden:
                    _read(file)
            except Exception as error:  # whatever a reader says of a half file
                found.append(f"{file.relative_to(folder)}: {error}")
    return found


def _read(file: Path) -> None:
    if file.suffix == ".csv" and "results" in file.parts:
        records.read_file(file)
    elif reader := _READERS.get(file.suffix):
        reader(file)
    elif file.suffix == ".tflite" and file.read_bytes()[4:8] != b"TFL3":
        raise ValueError("is no flatbuffer")


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
}


def compared(
    a: pd.DataFrame, b: pd.DataFrame, rows: int = 20, tolerance: float = compare.TOLERANCE
) -> tuple[bool, str]:
    """Whether two tables have the same deterministic records, and the comparison in words.

    Times may differ as they like: these runs have no machine for themselves.
    """
    found = compare.compare(a, b, tolerance)
    measured = found["clock"] & ~found["kind"].isin(["only in A", "only in B"])
    passed = bool((measured | (found["kind"] == "equal")).all())
    return passed, compare.report(found, passed, rows)
