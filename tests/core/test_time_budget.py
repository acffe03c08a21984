"""A run out of time stops between two pieces of work: cleanly on Kaggle, else as an error."""

import time

import nbformat
import papermill
import pytest

from qlab.core import progress
from qlab.core.errors import QlabError
from qlab.run import notebook as runner
from qlab.run import time_budget


@pytest.fixture
def notebook(tmp_path):
    """Three pieces of work, of which the second takes until the time is up."""
    cells = [
        'profile: str = "smoke"  # how much',
        "import os, time\nfrom qlab.core.progress import bar\ndone = []\n"
        "for piece in bar('work')(range(3)):\n"
        "    done.append(piece)\n"
        "    if piece == 1:\n        os.environ['QLAB_STOP_AT'] = str(time.time() - 1)\n"
        "print('all done')",
        "print('the next cell')",
    ]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nb.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(nb, tmp_path / "work.ipynb")
    return tmp_path / "work.ipynb"


def test_no_budget_no_end(monkeypatch):
    monkeypatch.delenv("QLAB_STOP_AT", raising=False)
    assert time_budget.stop_at() is None
    assert list(progress.bar("work")(range(3))) == [0, 1, 2]
    monkeypatch.setenv("QLAB_STOP_AT", str(time.time() + 60))
    assert list(progress.bar("work")(range(3))) == [0, 1, 2]


def test_a_budget_that_is_no_time(monkeypatch):
    monkeypatch.setenv("QLAB_STOP_AT", "noon")
    with pytest.raises(QlabError, match="QLAB_STOP_AT is a time in seconds since 1970 .* 'noon'"):
        time_budget.check()


def test_on_kaggle_papermill_ends_well_and_the_output_can_be_attached(
    notebook, tmp_path, home, monkeypatch
):
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setenv("QLAB_KAGGLE", str(tmp_path))
    monkeypatch.delenv("QLAB_QUIET", raising=False)
    waits = {"start_timeout": 120, "iopub_timeout": 60}
    executed = papermill.execute_notebook(
        notebook, None, progress_bar=False, kernel_name="python3", **waits
    )
    outputs = str([cell.outputs for cell in executed.cells])
    assert "The time is up" in outputs and "attach this version's output" in outputs
    assert "all done" not in outputs and "the next cell" not in outputs


def test_the_runner_takes_it_for_what_it_is(notebook, tmp_path, home, monkeypatch):
    for kaggle in (False, True):
        if kaggle:
            monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
            monkeypatch.setenv("QLAB_KAGGLE", str(tmp_path))
        with pytest.raises(runner.NotebookFailed, match="The time is up .* run again with another"):
            runner.run(notebook, [], tmp_path / "done.ipynb")
        assert not (tmp_path / "done.ipynb").exists()
