# qlab on Kaggle: paste this as the first cell. It takes the project from the attached dataset that
# workflow/kaggle/bundle.py makes; without one, from git if REPOSITORY is set.
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = ""  # address to clone from, with the internet on
kaggle = Path(os.environ.get("QLAB_KAGGLE", "/kaggle"))
script = "workflow/kaggle/session.py"
projects = [p.parents[2] for n in range(5) for p in kaggle.glob("input/" + "*/" * n + script)]
if not projects and REPOSITORY:
    clone = kaggle / "temp" / "qlab-project"
    if not clone.is_dir():
        subprocess.run(["git", "clone", "--quiet", "--depth=1", REPOSITORY, clone], check=True)
    projects = [clone]
if len(projects) != 1:
    named = " and in ".join(map(str, projects)) or "no dataset under /kaggle/input"
    raise SystemExit(f"qlab lies in {named}: attach its bundle once, or set REPOSITORY.")
sys.path.insert(0, str(projects[0] / "workflow" / "kaggle"))
import session  # noqa: E402

session.start(projects[0])
