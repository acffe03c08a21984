"""What machines do to a run: full disks, locked folders, no home, odd paths, secrets in sight.

With real conditions (mounts, permissions, limits), on a small project that has the real Makefile,
Snakefile and package, and notebooks of a few lines. `tests/faults/` has the same at full length.
"""

import os
import shutil
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
import small_project
from conftest import ROOT
from small_project import MEASURE, write

SECRETS = {
    "HF_TOKEN": "hf_planted/one",
    "MADE_UP_API_KEY": "planted two?&",
    "DB_PASSWORD": 'planted three"',
}
LEAK = """
import os, subprocess, sys, urllib.parse
for name in ("HF_TOKEN", "MADE_UP_API_KEY", "DB_PASSWORD"):
    token = os.environ[name]
    print(token, urllib.parse.quote(token, safe=""), say)
    subprocess.run(["printenv", name])
    subprocess.run(["sh", "-c", f"printenv {name} >&2"])
"""
TABLE = """
01_measure: {experiment: measured, figures: [bars]}
02_fail:
"""


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A small project under a name with spaces and letters beyond ASCII; it is QLAB_HOME."""
    folder = small_project.make(tmp_path / "données à côté 数据", TABLE)
    write(folder, "01_measure", MEASURE)
    write(folder, "02_fail", "1 + 1")
    monkeypatch.setenv("QLAB_HOME", str(folder))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    for name in ("MAKEFLAGS", "MAKELEVEL", "PROFILE", "ARGS"):
        monkeypatch.delenv(name, raising=False)
    return folder


def qlab_run(project: Path, *more: str, before: tuple[str, ...] = (), **options):
    """`python -m qlab run 01` in the project; `before` goes in front of the command."""
    call = [*before, sys.executable, "-m", "qlab", "run", "01", "-p", "profile=smoke", *more]
    return subprocess.run(call, cwd=project, capture_output=True, text=True, **options)


def without_power() -> tuple[str, ...]:
    """A command in front that takes from root what lets it write where nobody may."""
    if os.geteuid():
        return ()
    if not shutil.which("setpriv"):
        pytest.skip("root may write anywhere, and there is no setpriv to prevent it")
    return ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")


def kept(project: Path) -> dict[str, bytes]:
    """Records and figures, by name."""
    folders = (project / "data", project / "figures")
    return {p.name: p.read_bytes() for f in folders for p in f.rglob("*") if p.is_file()}


def test_secrets_in_sight_are_in_no_file_that_make_figures_leaves(project, monkeypatch, tmp_path):
    """In the environment, in what cells print and in why one fails; nothing of them is left."""
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    places = {"HOME": "home", "TMPDIR": "tmp"}
    for name, value in (SECRETS | {n: str(tmp_path / p) for n, p in places.items()}).items():
        monkeypatch.setenv(name, value)
    write(project, "01_measure", MEASURE, LEAK)
    write(project, "02_fail", LEAK, "raise ValueError(os.environ['HF_TOKEN'])")
    done = subprocess.run(
        ["make", "-o", ".venv/.installed", "figures", "PROFILE=smoke"],
        cwd=project, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode != 0 and "failed with ValueError: ***SECRET***" in done.stderr
    assert {"measured.csv", "bars.png"} <= set(kept(project))
    assert (project / "build/smoke/notebooks/02_fail.failed.ipynb").is_file()
    assert list((project / ".snakemake").rglob("*"))
    shown = (done.stdout + done.stderr).encode()
    files = [p for p in tmp_path.rglob("*") if p.is_file() and ".venv" not in p.parts]
    for value in SECRETS.values():
        for form in forms(value):
            assert form not in shown
            assert not [p for p in files if form in p.read_bytes()]


def forms(value: str) -> list[bytes]:
    """A secret as it is, and as a URL has it."""
    return [value.encode(), urllib.parse.quote(value, safe="").encode()]


NO_PLACE = {"HOME": "locked", "XDG_CACHE_HOME": "locked/c", "MPLCONFIGDIR": "locked/m",
            "HF_HOME": "locked/h", "IPYTHONDIR": "locked/i", "JUPYTER_RUNTIME_DIR": "locked/r",
            "JUPYTER_DATA_DIR": "locked/d", "KERAS_HOME": "locked/k"}  # fmt: skip


@pytest.mark.parametrize("given", [{}, NO_PLACE], ids=["no HOME", "nothing outside can be written"])
def test_a_run_needs_no_home_and_no_cache(project, tmp_path, given):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    environment = {k: v for k, v in os.environ.items() if k != "HOME"}
    environment |= {name: str(tmp_path / place) for name, place in given.items()}
    done = qlab_run(project, before=without_power(), env=environment)
    assert done.returncode == 0, done.stderr
    assert {"measured.csv", "bars.png"} <= set(kept(project))
    assert list(locked.iterdir()) == []


def test_a_folder_of_figures_that_cannot_be_written_is_a_sentence(project):
    assert qlab_run(project).returncode == 0
    before = kept(project)
    figures = project / "figures" / "smoke"
    figures.chmod(0o555)
    try:
        done = qlab_run(project, before=without_power())
    finally:
        figures.chmod(0o755)
    assert done.returncode == 1
    assert "cannot be written (Permission denied); nothing was changed" in done.stderr
    assert kept(project).keys() == before.keys()
    assert kept(project)["bars.png"] == before["bars.png"]


@pytest.fixture
def small_disk(project, tmp_path):
    """The project's build/ is a real disk of half a megabyte; needs root on Linux."""
    build = project / "build"
    build.mkdir()
    call = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(build)]
    if subprocess.run(call, capture_output=True).returncode != 0:
        pytest.skip("mounting a file system is not allowed here")
    yield build
    subprocess.run(["umount", str(build)], check=True)


BIG = """
from qlab.core.cache import artefact
artefact("big", {"size": 1}, lambda folder: (folder / "x").write_bytes(bytes(2_000_000)))
"""


def test_a_disk_that_runs_full_in_a_run_loses_nothing(project, small_disk):
    assert qlab_run(project).returncode == 0
    executed = small_disk / "smoke" / "notebooks" / "01_measure.ipynb"
    before = kept(project), executed.read_bytes()
    write(project, "01_measure", BIG, MEASURE)
    done = qlab_run(project)
    assert done.returncode == 1
    assert "QlabError: The disk ran full while writing" in done.stderr
    assert (kept(project), executed.read_bytes()) == before
    assert not [*small_disk.rglob(".part-*"), *small_disk.glob("artefacts/big/*")]
