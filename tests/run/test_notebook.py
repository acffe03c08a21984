"""Running notebooks: what is left behind after an end of any kind, on machines of any kind."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from qlab.core.secrets import MARKER
from qlab.run import cli, notebook

SECRET = "hf_planted/secret"
PARAMETERS = """\
from typing import Literal
profile: Literal["smoke", "mini"] = "mini"  # how much to run
threads: int = 2  # CPU threads
model: str = ""  # a folder with a model"""
SOURCE = Path(notebook.__file__).parents[1]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home whose name has spaces and letters beyond ASCII."""
    folder = tmp_path / "données à côté 数据"
    monkeypatch.setenv("QLAB_HOME", str(folder))
    monkeypatch.setenv("HF_TOKEN", SECRET)
    # Temporary files count among those a run may leave; `tempfile` asks the variable only once.
    monkeypatch.setenv("TMPDIR", str(folder / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "tmp"))
    for name in ("notebooks", "tmp"):
        (folder / name).mkdir(parents=True)
    return folder


def _notebook(home, *sources, name="01_look"):
    """A notebook of a title, the parameters and one code cell per source."""
    tagged = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell("# Title"), tagged, *map(new_code_cell, sources)]
    path = home / "notebooks" / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


def _printed(path):
    """What the code cells of an executed notebook wrote to stdout."""
    outputs = [o for cell in nbformat.read(path, 4).cells for o in cell.get("outputs", [])]
    return "".join(o.text for o in outputs if o.get("name") == "stdout")


def _left(home):
    """Files outside notebooks/ by name, without the locks, which are empty."""
    files = [p for p in home.rglob("*") if p.is_file() and p.parent != home / "notebooks"]
    assert all(p.stat().st_size == 0 for p in files if p.suffix == ".lock")
    return sorted(p.name for p in files if p.suffix != ".lock")


def _assert_no_secret(home, *texts):
    """Neither texts nor files, names included, hold the secret."""
    files = [p for p in home.rglob("*") if p.is_file()]
    for text in (*texts, *map(str, files), *(p.read_text() for p in files)):
        assert "planted" not in text


def _cli():
    """`python -m qlab run 01` in a process of its own, as yet without an end."""
    return subprocess.Popen(
        [sys.executable, "-m", "qlab", "run", "01"],
        env={**os.environ, "PYTHONPATH": str(SOURCE.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What a shell starts with `&` ignores interrupts, and so does all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_a_relative_path_is_of_where_one_stands(home, monkeypatch):
    """The kernel works in the notebook's folder; a name is none, though a folder has it too."""
    _notebook(home, "print(model)")
    (home / "mine" / "llama").mkdir(parents=True)
    monkeypatch.chdir(home / "mine")
    for given, meant in (("./llama", str(home / "mine" / "llama")), ("llama", "llama")):
        assert _printed(notebook.run("01", [f"model={given}"])) == f"{meant}\n"


def test_good_run(home, monkeypatch):
    places = "print(os.getcwd(), os.environ['QLAB_HOME'], sys.executable, sep='\\n')"
    source = _notebook(home, "import os, sys\nprint(threads, profile, model)", places)
    untouched = source.read_bytes()
    # Relative, as a Makefile may have it: the kernel, in another folder, must get the same one.
    monkeypatch.chdir(home)
    monkeypatch.setenv("QLAB_HOME", ".")
    # A user's own spec of the name python3, which does not even run.
    spec = home / "jupyter/kernels/python3/kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text('{"argv": ["false"], "display_name": "x", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(home / "jupyter"))
    target = notebook.run("01", ["threads=4", "profile=smoke", 'model=a"\\é'])
    assert target == home / "build/smoke/notebooks/01_look.ipynb"
    values, *places = _printed(target).splitlines()
    assert values == '4 smoke a"\\é'
    assert places == [str(source.parent), str(home), sys.executable]
    assert source.read_bytes() == untouched
    executed = json.loads(target.read_text())
    assert set(executed["metadata"]) == {"language_info"}  # no paths and times, of papermill
    tags = [cell["metadata"] for cell in executed["cells"]]
    assert tags[:3] == [{}, {"tags": ["parameters"]}, {"tags": ["injected-parameters"]}]
    assert _left(home) == ["01_look.ipynb", "kernel.json"]


def test_failing_cell_keeps_the_earlier_output(home, capsys):
    _notebook(home, "print(1)")
    target = notebook.run("01", ["threads=3"])
    earlier = target.read_bytes()
    _notebook(home, "print('so far')", "\nx = 1\nraise ValueError('one\\nlast line.')", "print(3)")
    assert cli.main(["run", "01", "-p", "threads=3"]) == 1
    failed = target.with_name("01_look.failed.ipynb")
    said = capsys.readouterr().err
    assert "Cell 4 of 01_look.ipynb (`x = 1`) failed with ValueError: ... last line." in said
    assert target.read_bytes() == earlier
    executed = nbformat.read(failed, 4)
    assert [len(cell.get("outputs", [])) for cell in executed.cells] == [0, 0, 0, 1, 1, 0]
    assert executed.cells[4].outputs[0].ename == "ValueError"
    assert _left(home) == ["01_look.failed.ipynb", "01_look.ipynb"]


def test_dead_kernel(home):
    cells = "import os; print('so far', os.environ['HF_TOKEN'])", "os.kill(os.getpid(), 9)"
    _notebook(home, *cells, "print(3)")
    process = _cli()  # what loggers print, they print in a fresh process
    said = process.communicate(timeout=120)
    failed = home / "build/mini/notebooks/01_look.failed.ipynb"
    assert process.returncode == 1 and said[0] == ""
    assert said[1].startswith("qlab: The kernel died in cell 4") and said[1].count("\n") == 1
    assert _printed(failed) == f"so far {MARKER}\n"
    _assert_no_secret(home)


PLANTED = (  # where in a notebook it may lie, tests/core/test_secrets.py has
    "import os, subprocess, sys, time\ntoken = os.environ['HF_TOKEN']",
    "for part in (token[:7], token[7:]):\n    print(part, end='', flush=True); time.sleep(0.5)",
    "print(token, file=sys.stderr); sys.__stderr__.write(token)",
    "subprocess.run(['printenv', 'HF_TOKEN'])",
    "token",
)


def test_a_secret_is_in_no_file_and_no_message(home, monkeypatch, capfd):
    # Under this variable, ipykernel does not catch what subprocesses print.
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    _notebook(home, *PLANTED, name="01_good")
    _notebook(home, *PLANTED, "raise ValueError(token)", name="02_bad")
    secret_parameter = ["-p", f"model={SECRET}"]
    assert cli.main(["run", "01", *secret_parameter]) == 0
    assert cli.main(["run", "02", *secret_parameter]) == 1
    for arguments in (["-p", f"mode={SECRET}"], ["-p", SECRET], [f"--x={SECRET}"]):
        assert cli.main(["run", "01", *arguments]) == 2
    shown = capfd.readouterr()
    _assert_no_secret(home, shown.out, shown.err)
    assert shown.err.count(MARKER) == 2
    assert _left(home) == ["01_good.ipynb", "02_bad.failed.ipynb"]
    assert f'model = \\"{MARKER}' in (home / "build/mini/notebooks/01_good.ipynb").read_text()


def _started(home, *sources):
    """`qlab run` of a notebook in its own process, once its last cell has begun."""
    _notebook(home, *sources, "open('begun', 'w').close(); import time; time.sleep(60)")
    process = _cli()
    deadline = time.monotonic() + 120
    while not (home / "notebooks/begun").exists():
        assert process.poll() is None and time.monotonic() < deadline, "it did not begin"
        time.sleep(0.1)
    return process


def test_an_interrupted_run_writes_nothing(home):
    process = _started(home, "print(1)")
    process.send_signal(signal.SIGINT)
    assert "interrupted; nothing was written" in process.communicate(timeout=120)[1]
    assert process.returncode == 130 and _left(home) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_killed_run_leaves_nothing_takes_its_kernel_along_and_blocks_no_other(home):
    process = _started(home, "import os; print(os.environ['HF_TOKEN'])")
    (kernel,) = psutil.Process(process.pid).children()
    kernel.suspend()  # even a stopped one
    process.kill()
    process.communicate(timeout=120)
    kernel.wait(timeout=10)
    assert not kernel.is_running()
    _assert_no_secret(home)
    assert list((home / "build").rglob("*.ipynb")) == []
    assert sorted(os.listdir(home / "notebooks")) == ["01_look.ipynb", "begun"]
    _notebook(home, "print(1)")
    notebook.run("01")
