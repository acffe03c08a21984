"""Two fresh clones on one machine, and one with other numbers of threads: are the records the same?

    python tests/faults/compare_clones.py [--profile smoke] [--threads 1] [--tolerance 1e-6]

`make figures` runs in two fresh clones. In a third, every notebook that has the parameter `threads`
runs with another number of them, and TensorFlow, BLAS and OpenMP are told the same by variables.
The records of both are compared with the first clone's. Times are not looked at. Exit code 0 if
both agree to the tolerance, else 1.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from clones import clone, differences, ended, make_figures

from qlab.run.compare import load
from qlab.run.parameters import parameters_of, read_notebook

VARIABLES = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]
VARIABLES += ["TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"]


def main() -> int:
    """Run the three, print what differs; 0 if nothing does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="smoke")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tolerance", type=float, default=1e-6)
    given = parser.parse_args()
    here = Path(tempfile.mkdtemp(prefix="qlab à côté "))
    first, second, third = (clone(here / name) for name in ("first", "second", "threads"))
    for folder in (first, second):
        ended(make_figures(folder, given.profile, here / "log"), here / "log")
    one, other = (load(folder, given.profile) for folder in (first, second))
    threaded = with_threads(third, given.profile, given.threads)
    few = one[one["experiment"].isin(threaded["experiment"])]
    told = differences(one, other, given.tolerance), differences(few, threaded, given.tolerance)
    print("Two clones:", *told[0], f"\n{given.threads} threads:", *told[1])
    return 1 if any(told) else 0


def with_threads(folder: Path, profile: str, threads: int) -> pd.DataFrame:
    """Run the notebooks that take threads in the clone; returns their records."""
    environment = os.environ | dict.fromkeys(VARIABLES, str(threads)) | {"QLAB_HOME": str(folder)}
    environment["PYTHONPATH"] = str(folder / "src")
    chosen = ["-p", f"profile={profile}", "-p", f"threads={threads}"]
    for notebook in sorted(folder.glob("notebooks/*.ipynb")):
        if "threads" in parameters_of(read_notebook(notebook), notebook.name):
            call = [sys.executable, "-m", "qlab", "run", str(notebook), *chosen]
            subprocess.run(call, env=environment, check=True, stdout=subprocess.DEVNULL)
    # A run with a parameter of one's own has a folder of its own.
    places = sorted(folder.glob(f"data/results/{profile}-*/*.csv"))
    return pd.concat([load(place, "") for place in places])


if __name__ == "__main__":
    sys.exit(main())
