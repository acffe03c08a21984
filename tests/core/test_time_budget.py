"""A run out of time stops between two pieces of work: cleanly on Kaggle, else as an error."""

import time

import nbformat
import papermill
import pytest

from qlab.core import progress, time_budget
from qlab.core.errors import QlabError


def test_work_stops_where_the_time_is_up(monkeypatch):
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    monkeypatch.setenv("QLAB_STOP_AT", "noon")
    with pytest.raises(QlabError, match="seconds since 1970, not 'noon'"):
        time_budget.check()
    monkeypatch.setenv("QLAB_STOP_AT", str(time.time() + 60))
    work = iter(progress.bar("work")(range(3)))
    assert next(work) == 0
    monkeypatch.setenv("QLAB_STOP_AT", str(time.time() - 1))
    with pytest.raises(QlabError, match="The time is up .* run again with another"):
        next(work)
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setenv("QLAB_QUIET", "1")  # under `qlab run`, which must not take it for finished
    with pytest.raises(QlabError, match="The time is up"):
        time_budget.check()


def test_on_kaggle_papermill_ends_well_and_the_output_can_be_attached(tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setenv("QLAB_KAGGLE", str(tmp_path))
    monkeypatch.delenv("QLAB_QUIET", raising=False)
    monkeypatch.setenv("QLAB_STOP_AT", str(time.time() - 1))
    cells = ["from qlab.core import time_budget\ntime_budget.check()", "print('the next cell')"]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nbformat.write(nb, tmp_path / "work.ipynb")
    done = papermill.execute_notebook(
        tmp_path / "work.ipynb", None, progress_bar=False, kernel_name="python3"
    )
    outputs = str([cell.outputs for cell in done.cells])
    assert "The time is up" in outputs and "attach this version's output" in outputs
    assert "the next cell" not in outputs
