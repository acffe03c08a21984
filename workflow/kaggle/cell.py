# qlab on Kaggle: paste this as the first cell. It takes the project from an attached dataset
# (python -m qlab.kaggle bundle makes it), else from git where REPOSITORY is set.
import importlib
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = ""  # address to clone from, with the internet on
kaggle = Path(os.environ.get("QLAB_KAGGLE", "/kaggle"))
mark = "src/qlab/kaggle/session.py"
found = [p for n in range(7) for p in kaggle.glob("input/" + "*/" * n + mark)]
projects = sorted(path.parents[3] for path in found)
if not projects and REPOSITORY:
    clone = kaggle / "temp" / "qlab-project"
    if not clone.is_dir():
        subprocess.run(["git", "clone", "--quiet", "--depth=1", REPOSITORY, clone], check=True)
    projects = [clone]
if len(projects) != 1:
    named = " and in ".join(map(str, projects)) or "no dataset under /kaggle/input"
    raise SystemExit(f"qlab lies in {named}: attach its bundle once, or set REPOSITORY.")
installing = subprocess.run(
    [sys.executable, "-m", "qlab.kaggle", "install", projects[0]],
    env={**os.environ, "PYTHONPATH": str(projects[0] / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
    capture_output=True,
    text=True,
)
print(installing.stdout + installing.stderr, end="")
if installing.returncode:
    raise SystemExit("qlab could not be installed; see above.")
importlib.invalidate_caches()

from qlab.kaggle import session  # noqa: E402

session.start(projects[0])
