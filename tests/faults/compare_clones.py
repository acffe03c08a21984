"""Two fresh clones on one machine, and one with other numbers of threads: are the records the same?

    python tests/faults/compare_clones.py [--profile smoke] [--threads 1] [--tolerance 1e-6]

`make figures` runs in two fresh clones. In a third, every notebook that has the parameter `threads`
runs with another number of them, and TensorFlow, BLAS and OpenMP are told the same by variables.
The records of both are compared with the first clone's. Times are not looked at. Exit code 0 if
both agree to the tolerance, else 1.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from clones import clone, compared, run_to_the_end

from qlab.run.compare import load
from qlab.run.parameters import parameters_of, read_notebook

VARIABLES = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]
VARIABLES += ["TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"]


def main() -> int:
    """Run the three, print two comparisons; 0 if both agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="smoke")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tolerance", type=float, default=1e-6)
    given = parser.parse_args()
    here = Path(tempfile.mkdtemp(prefix="qlab à côté "))
    first, second, third = (clone(here / name) for name in ("first", "second", "threads"))
    for folder in (first, second):
        run_to_the_end(folder, given.profile, here / "log")
    passed = [told("Two clones", load(first, given.profile), load(second, given.profile), given)]
    many = [load(path, "") for path in with_threads(third, given)]
    few = [load(first / "data/results" / given.profile / f"{name}.csv", "") for name in names(many)]
    passed.append(told(f"{given.threads} threads", pd.concat(few), pd.concat(many), given))
    if all(passed):
        shutil.rmtree(here)
    return 0 if all(passed) else 1


def with_threads(folder: Path, given: argparse.Namespace) -> list[Path]:
    """Run the notebooks that take threads in the clone; returns their tables of records."""
    variables = dict.fromkeys(VARIABLES, str(given.threads))
    environment = os.environ | variables | {"QLAB_HOME": str(folder)}
    environment["PYTHONPATH"] = str(folder / "src")
    chosen = ["-p", f"profile={given.profile}", "-p", f"threads={given.threads}"]
    for notebook in sorted(folder.glob("notebooks/*.ipynb")):
        if "threads" in parameters_of(read_notebook(notebook), notebook.name):
            call = [sys.executable, "-m", "qlab", "run", str(notebook), *chosen]
            subprocess.run(call, env=environment, check=True, stdout=subprocess.DEVNULL)
    # A run with a parameter of one's own has a folder of its own.
    return sorted(folder.glob(f"data/results/{given.profile}-*/*.csv"))


def names(tables: list[pd.DataFrame]) -> list[str]:
    return [table["experiment"].iloc[0] for table in tables]


def told(title: str, a: pd.DataFrame, b: pd.DataFrame, given: argparse.Namespace) -> bool:
    """Print the comparison; whether the deterministic records agree."""
    passed, words = compared(a, b, 50, given.tolerance)
    print(f"{title}: {words}\n", flush=True)
    return passed


if __name__ == "__main__":
    sys.exit(main())
