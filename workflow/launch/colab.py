# qlab on Colab: clone the project, install what the image lacks beside what it has, and say which
# GPU there is, or that there is none. Written by workflow/launch/make.py.
import os
import subprocess
import sys
from pathlib import Path

project = Path("/content/qlab")
if not project.is_dir():
    address = "https://github.com/REPOSITORY"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", address, project], check=True)
sys.path[:0] = [str(project / "src"), str(project / "workflow" / "kaggle")]
os.environ |= {"QLAB_HOME": str(project), "PYTHONPATH": str(project / "src")}
os.chdir(project / "notebooks")
import session  # noqa: E402

print(session.install(project))
print(session.gpu())
