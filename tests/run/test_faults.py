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
    "MADE_UP_API_KEY": "planted 2?&",
    "DB_PASSWORD": 'planted3"',
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
    for name in ("HOME", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    write(project, "01_measure", MEASURE, LEAK)
    write(project, "02_fail", LEAK, "raise ValueError(os.environ['HF_TOKEN'])")
    call = ["make", "-o", ".venv/.installed", "figures", "PROFILE=smoke"]
    done = subprocess.run(call, cwd=project, capture_output=True, text=True)
    assert done.returncode != 0 and "failed with ValueError: ***SECRET***" in done.stderr
    assert {"measured.csv", "bars.png"} <= set(kept(project))
    assert (project / "build/smoke/notebooks/02_fail.failed.ipynb").is_file()
    assert list((project / ".snakemake").rglob("*"))
    shown = (done.stdout + done.stderr).encode()
    files = [p for p in tmp_path.rglob("*") if p.is_file() and ".venv" not in p.parts]
    for value in SECRETS.values():
        for form in (value.encode(), urllib.parse.quote(value, safe="").encode()):
            assert form not in shown
            assert not [p for p in files if form in p.read_bytes()]


PLACES = "XDG_CACHE_HOME MPLCONFIGDIR HF_HOME IPYTHONDIR JUPYTER_RUNTIME_DIR JUPYTER_DATA_DIR"


def test_a_run_needs_no_home_and_no_cache(project, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    environment = {k: v for k, v in os.environ.items() if k != "HOME"}
    for name in PLACES.split():
        environment[name] = str(tmp_path / "locked" / name)
    done = qlab_run(project, before=without_power(), env=environment)
    assert done.returncode == 0, done.stderr
    assert {"measured.csv", "bars.png"} <= set(kept(project))
    assert list((tmp_path / "locked").iterdir()) == []


BIG = """
from qlab.core.cache import artefact
artefact("big", {"size": 1}, lambda folder: (folder / "x").write_bytes(bytes(2_000_000)))
"""


def test_a_disk_that_runs_full_in_a_run_loses_nothing(project):
    """build/ is a real disk of half a megabyte; needs root on Linux."""
    build = project / "build"
    build.mkdir()
    call = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(build)]
    if subprocess.run(call, capture_output=True).returncode != 0:
        pytest.skip("mounting a file system is not allowed here")
    try:
        assert qlab_run(project).returncode == 0
        executed = build / "smoke" / "notebooks" / "01_measure.ipynb"
        before = kept(project), executed.read_bytes()
        write(project, "01_measure", BIG, MEASURE)
        assert "could not be written (No space left" in qlab_run(project).stderr
        assert (kept(project), executed.read_bytes()) == before
        assert not [*build.rglob(".part-*"), *build.glob("artefacts/big/*")]
    finally:
        subprocess.run(["umount", str(build)], check=True)
