"""What `make figures` runs again, leaves alone, keeps: a toy project's cells, without a kernel."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import ROOT
from toy_project import ENVIRONMENT, MAKE, make, ran, written

TABLE = """
01_measure: {experiment: measured, items: true, figures: [bars], models: [tiny]}
02_judge: {experiment: judged, reads: [measured]}
03_alone:
"""
RUNNER = """
import json, sys
from pathlib import Path

source, profile = Path(sys.argv[2]), sys.argv[4].removeprefix("profile=")
with open("log", "a") as log:
    print(source.stem[:2], file=log)
[cell] = json.loads(source.read_text())["cells"]
exec(cell["source"], {})
Path("build", profile, "notebooks", source.name).write_text("whole")
"""
BARS = [f"figures/mini/bars.{kind}" for kind in ("png", "svg", "csv")]
JUDGED = [f"data/results/mini/judged.{kind}" for kind in ("csv", "provenance.json")]
MEASURED = [name.replace("judged", "measured") for name in JUDGED]
MEASURED += ["data/results/mini/items/measured.parquet"]
WRITE = """
import os, time
from pathlib import Path

def write(*names):
    for name in names:
        Path(name).write_text("new")
"""
MEASURE = f"""
from qlab.room import bars

write(*{MEASURED})
if os.path.exists("fail"):
    raise RuntimeError("as told")
end = time.monotonic() + 60
while os.path.exists("slow") and time.monotonic() < end:
    time.sleep(0.05)
write(*{BARS})
"""
FILES = {  # of the toy, beside what it has of the real project
    "workflow/notebooks.yaml": TABLE,
    "src/qlab/__main__.py": RUNNER,
    "src/qlab/room/__init__.py": "",
    "src/qlab/room/bars.py": "from qlab.room import deep",
    "src/qlab/room/deep.py": "",
    "src/qlab/room/other.py": "",
    "data/models/tiny/weights": "0",
    **dict.fromkeys([*MEASURED, *JUDGED, *BARS], "old"),
}


def notebook(project: Path, name: str, code: str) -> None:
    cells = [{"cell_type": "code", "source": WRITE + code}]
    (project / "notebooks" / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))


def figures(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    return make(project, "figures", *arguments)


def committed(project: Path) -> dict[str, str]:
    """What is committed: records and figures with their contents."""
    folders = (project / "data" / "results", project / "figures")
    files = [file for folder in folders for file in folder.rglob("*.*")]
    return {str(file.relative_to(project)): file.read_text() for file in files}


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """The project as it is cloned: records and figures are there, build/ is not."""
    rails = [f"workflow/{name}" for name in ("Snakefile", "remaining.py")]
    project = written(tmp_path_factory.mktemp("a clone"), FILES, rails)
    (project / "notebooks").mkdir()
    notebook(project, "01_measure", MEASURE)
    notebook(project, "02_judge", f"write(*{JUDGED})")
    notebook(project, "03_alone", "import qlab.room.other")
    return project


@pytest.fixture(scope="module")
def finished(clone, tmp_path_factory) -> Path:
    """The project after its first `make figures`."""
    at = tmp_path_factory.mktemp("finished") / "project"
    project = shutil.copytree(clone, at, symlinks=True)
    done = figures(project)
    assert done.returncode == 0, done.stderr
    assert ran(project) == ["01", "02", "03"] and "Notebook 3 of 3." in done.stdout
    assert set(committed(project).values()) == {"new"}
    return project


@pytest.fixture
def project(finished, tmp_path) -> Path:
    """A project of one's own in which everything is up to date."""
    return shutil.copytree(finished, tmp_path / "mon projet à côté", symlinks=True)


def test_a_mere_touch_runs_nothing_and_what_is_deleted_is_made_again(project):
    for file in [*project.glob("notebooks/*"), *project.rglob("src/qlab/**/*.py")]:
        file.touch()
    assert (figures(project).returncode, ran(project)) == (0, [])
    deleted = ("figures/mini/bars.svg", "data/results/mini/items/measured.parquet")
    for name in deleted:
        (project / name).unlink()
    assert figures(project).returncode == 0
    assert ran(project)[0] == "01" and {committed(project)[name] for name in deleted} == {"new"}


@pytest.mark.parametrize(
    "changed, expected",
    [
        ("notebooks/02_judge.ipynb src/qlab/room/other.py", ["02", "03"]),
        ("src/qlab/room/deep.py", ["01", "02"]),
        ("data/models/tiny/weights", ["01", "02"]),
        ("requirements.lock", ["01", "02", "03"]),
    ],
)
def test_a_change_reruns_what_depends_on_it(project, changed, expected):
    for file in (project / name for name in changed.split()):
        before = file.stat()
        file.write_text(file.read_text() + "\n")
        os.utime(file, (before.st_atime, before.st_mtime))  # as rsync and archives do
    assert figures(project).returncode == 0
    assert ran(project) == expected


def test_a_secret_as_a_parameter_is_refused(project, monkeypatch):
    """Snakemake would keep it; nothing of it is said or left."""
    monkeypatch.setitem(ENVIRONMENT, "HF_TOKEN", "hf_planted")
    (project.parent / "more.yaml").write_text("parameters: {03_alone: {model: hf_planted}}")
    done = figures(project, "ARGS=--configfile ../more.yaml --quiet host progress reason rules")
    assert "The parameter 'model' of 03_alone holds a token" in done.stderr
    assert "planted" not in done.stderr + done.stdout
    assert not [f for f in project.rglob("*") if f.is_file() and b"planted" in f.read_bytes()]


def test_one_run_at_a_time_and_a_killed_one_resumes(clone, tmp_path):
    project = shutil.copytree(clone, tmp_path / "project", symlinks=True)
    (project / "slow").touch()
    call = {"cwd": project, "env": ENVIRONMENT, "start_new_session": True}
    first = subprocess.Popen([*MAKE, "figures"], **call)
    try:
        end, log = time.monotonic() + 120, project / "log"
        while not (log.exists() and "01" in log.read_text()):
            assert first.poll() is None and time.monotonic() < end, "waited in vain"
            time.sleep(0.05)
        all_of_it = psutil.Process(first.pid).children(recursive=True)
        second = figures(project)
        assert second.stderr.startswith("Another make figures") and first.poll() is None
        # Only Snakemake dies; its notebook does not notice, and must not get company.
        [snakemake] = [p for p in all_of_it if p.cmdline()[1:3] == ["-m", "snakemake"]]
        snakemake.kill()
        first.wait()
        assert figures(project).stderr.startswith("Another make figures")
    finally:
        os.killpg(first.pid, signal.SIGKILL)
    assert psutil.wait_procs(all_of_it, timeout=60)[1] == []  # their lock ends with them
    assert set(committed(project)) == set(committed(clone)) and "02" not in ran(project)
    (project / "slow").unlink()
    assert figures(project).returncode == 0
    assert {"01", "02"} <= set(ran(project))
    assert set(committed(project).values()) == {"new"}


CORES = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()


def test_timed_notebooks_take_all_cores_and_untimed_ones_leave_room_for_others(project):
    more = "04_untimed: {untimed: true}\n05_timed:\n"
    (project / "workflow" / "notebooks.yaml").write_text(TABLE + more)
    for name in ("04_untimed", "05_timed"):
        notebook(project, name, "")
    plan = figures(project, "ARGS=--dry-run").stdout.split("rule notebook_")[1:]
    threads = {one[:2]: re.findall(r"threads: (\d+)", one) for one in plan}
    assert threads == {"04": [], "05": [str(CORES)] * (CORES > 1)}


def test_a_failing_notebook_loses_nothing(clone, tmp_path):
    project = shutil.copytree(clone, tmp_path / "project", symlinks=True)
    before = committed(project)
    (project / "fail").touch()
    assert "RuntimeError: as told" in figures(project).stderr
    assert committed(project) == before
    assert ran(project) == ["01", "03"]  # what does not need it runs all the same
    (project / "fail").unlink()
    assert figures(project).returncode == 0
    assert ran(project) == ["01", "02"]


@pytest.mark.parametrize(
    "table, message",
    [
        ("03_alone: {figure: [a]}", "03_alone: unknown figure"),
        ("03_alone: {models: [gone]}", "data/models/gone"),
        ("02_judge: {figures: [bars]}", "figures/mini/bars.png was not written by its notebook"),
    ],
)
def test_what_is_wrong_is_said(project, table, message):
    (project / "workflow" / "notebooks.yaml").write_text(table)
    done = figures(project)
    assert done.returncode != 0 and message in done.stderr


def test_small_is_made_by_the_notebooks_that_have_it(project):
    (project / "workflow" / "notebooks.yaml").write_text(f"{TABLE[:-1]} {{small: true}}")
    assert figures(project, "PROFILE=small").returncode == 0 and ran(project) == ["03"]


def test_the_table_has_every_notebook_model_figure_and_record():
    table = yaml.safe_load((ROOT / "workflow" / "notebooks.yaml").read_text())
    assert set(table) == {path.stem for path in ROOT.glob("notebooks/*.ipynb")}
    entries = [entry or {} for entry in table.values()]
    kept = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    needed = {file for entry in entries for file in entry.get("files", [])}
    assert kept.returncode or needed <= set(kept.stdout.split())  # where git knows
    models = {path.name for path in ROOT.glob("data/models/*") if path.is_dir()}
    drawn = {path.name.split(".")[0] for path in ROOT.glob("figures/mini/*.*")}
    for key, there in (("models", models), ("figures", drawn)):
        assert {name for entry in entries for name in entry.get(key, [])} == there
    for key, kind in (("experiment", "*.csv"), ("items", "items/*.parquet")):
        there = {path.stem for path in ROOT.glob(f"data/results/mini/{kind}")}
        assert {entry["experiment"] for entry in entries if entry.get(key)} == there
