"""What HEAD holds, for `make figures` writes records anew on every machine."""

import functools
import io
import subprocess

import pandas as pd
from conftest import ROOT

from qlab.core import records


@functools.cache
def table(experiment: str, profile: str) -> pd.DataFrame:
    """The committed records of an experiment, or of a benchmark; those that lie here where there
    is no git."""
    place = "benchmarks/results" if profile == "benchmarks" else f"data/results/{profile}"
    path = f"{place}/{experiment}.csv"
    done = subprocess.run(["git", "-C", ROOT, "show", f"HEAD:{path}"], capture_output=True)
    content = done.stdout if done.returncode == 0 else (ROOT / path).read_bytes()
    found = pd.read_csv(io.BytesIO(content), keep_default_na=False, na_values=[""])
    return records.check(found, path)
