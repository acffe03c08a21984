"""What HEAD holds, for `make figures` writes records anew on every machine."""

import functools
import io
import subprocess

import nbformat
import pandas as pd
from conftest import ROOT

from qlab.core import records


@functools.cache
def table(experiment: str, profile: str) -> pd.DataFrame:
    """The committed records of an experiment; those that lie here where there is no git."""
    path = f"data/results/{profile}/{experiment}.csv"
    done = subprocess.run(["git", "-C", ROOT, "show", f"HEAD:{path}"], capture_output=True)
    content = done.stdout if done.returncode == 0 else (ROOT / path).read_bytes()
    found = pd.read_csv(io.BytesIO(content), keep_default_na=False, na_values=[""])
    return records.check(found, path)


def assert_executed(notebook) -> None:
    """The executed copy at profile small is of this notebook's cells, and small."""
    file = ROOT / "docs" / "executed" / "small" / notebook.name
    assert file.stat().st_size < 2 * 10**6
    cells, own = (
        [c for c in nbformat.read(f, 4).cells if c.cell_type == "code"] for f in (file, notebook)
    )
    cells = [c for c in cells if "injected-parameters" not in c.metadata.get("tags", [])]
    assert [c.source for c in cells] == [c.source for c in own]
