"""Kill `make figures` at random moments, and see that the next run ends as if nothing had been.

    python workflow/kill_figures.py [--profile smoke] [--kills 20] [--seed 0]

In a fresh clone that uses this checkout's .venv, a whole run gives the reference records and the
time T. In a second one, the whole process group is killed (SIGKILL) at a moment drawn evenly from 0
to T; the next run starts at once and goes on to its end; then the clone is made fresh again, for
the next kill.

Seen to after each kill and each end: every record, figure, notebook and artefact is whole. At each
end: the deterministic records equal the reference's, and artefacts that were finished at the kill
were not made again. Exit code 0 if all of it held, else 1.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import typer
from PIL import Image
from safetensors.numpy import load_file

from qlab.core import records
from qlab.run import compare
from qlab.tflite import graph as tflite_graph

ROOT = Path(__file__).resolve().parents[1]
READERS = {
    ".csv": lambda file: (records.read_file if "results" in file.parts else pd.read_csv)(file),
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


def main(profile: str = "smoke", kills: int = 20, seed: int = 0) -> None:
    """Do the kills and print a line for each; exits with 1 if something broke."""
    here = Path(tempfile.mkdtemp(prefix="qlab tués "))
    reference, start = clone(here / "reference"), time.monotonic()
    make_figures(reference, profile)
    seconds, moments, broken = time.monotonic() - start, random.Random(seed), False
    for number in range(1, kills + 1):
        victim, moment = clone(here / "victim"), moments.uniform(0, seconds)
        make_figures(victim, profile, moment)
        done, found = finished(victim), half_files(victim)
        make_figures(victim, profile)
        again = [place for place, was in finished(victim).items() if done.get(place, was) != was]
        found += [f"{place} was made again" for place in again] + half_files(victim)
        table = compare.compare(*(compare.load(one, profile) for one in (reference, victim)))
        if table["kind"].isin(compare.BAD).any():
            found.append(compare.report(table, 50))
        print(f"Kill {number} at {moment:.0f} of {seconds:.0f} s:", *(found or ["as if nothing"]))
        broken |= bool(found)
        shutil.rmtree(victim)
    sys.exit(broken)


def clone(folder: Path) -> Path:
    """What is committed, in a new folder, as a newcomer has it after `make install`."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def make_figures(folder: Path, profile: str, seconds: float | None = None) -> None:
    """`make figures` in the clone, in a process group of its own, killed after so many seconds."""
    # The clone's own package, before the one that the .venv knows; -o: nothing is to be installed.
    environment = {k: v for k, v in os.environ.items() if k != "QLAB_HOME"}
    environment["PYTHONPATH"] = str(folder / "src")
    call = ["make", "-o", ".venv/.installed", "figures", f"PROFILE={profile}"]
    with tempfile.TemporaryFile("w+") as said:
        to = {"stdout": said, "stderr": said, "start_new_session": True}
        process = subprocess.Popen(call, cwd=folder, env=environment, **to)
        try:
            failed = process.wait(seconds)  # it may be through before its moment
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return
        if failed:
            said.seek(0)
            raise SystemExit(f"make figures failed:\n{said.read()[-3000:]}")


def half_files(folder: Path) -> list[str]:
    """Files under a name that is read which cannot be read, and why; none, if all goes well."""
    found = []
    for part in ("data/results", "figures", "build"):
        for file in sorted((folder / part).rglob("*")):
            hidden = any(n.startswith(".") for n in file.relative_to(folder).parts)  # being written
            try:
                if file.is_file() and not hidden and file.suffix in READERS:
                    READERS[file.suffix](file)
            except Exception as error:  # whatever a reader says of a half file
                found.append(f"{file.relative_to(folder)}: {error}")
    return found


def finished(folder: Path) -> dict[str, int]:
    """The number that the file system gave each artefact that is whole, by its place."""
    artefacts = (folder / "build" / "artefacts").glob("*/[!.]*")
    # What a half trained adapter goes on from lies there until it is whole.
    whole = [path for path in artefacts if ".partial" not in path.name]
    return {str(path.relative_to(folder)): path.stat().st_ino for path in whole}


if __name__ == "__main__":
    typer.run(main)
