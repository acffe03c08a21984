"""The environment: one set of versions everywhere, for three Pythons."""

import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version

import pytest
import side_packages
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PYTHONS = ["3.11", "3.12", "3.13"]
LINES = (ROOT / "requirements.lock").read_text().splitlines()
PAIRS = (line.split("==") for line in LINES if not line.startswith("#"))
LOCKED = {canonicalize_name(name): exact for name, exact in PAIRS}


def python(*arguments: str) -> str:
    """stdout of this environment's Python; its stderr is shown where it fails."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_lock_is_exact_and_is_what_is_installed_and_asked_for():
    installed = {name: Version(version(name)).public for name in LOCKED}
    assert installed == {name: str(Version(exact)) for name, exact in LOCKED.items()}
    assert "No broken requirements found" in python("-m", "pip", "check")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for texts in (project["dependencies"], *project["optional-dependencies"].values()):
        for wanted in map(Requirement, texts):
            own = wanted.name == project["name"]  # an extra that names another one
            assert own or wanted.specifier.contains(LOCKED[canonicalize_name(wanted.name)]), wanted


def test_environment_yml_is_the_lock_and_ci_has_all_pythons():
    *conda, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert f"python={PYTHONS[0]}" in conda  # the one for which auto-gptq has a wheel
    assert "--requirement requirements.lock" in pip["pip"]
    exact = dict(line.split("==") for line in pip["pip"] if not line.startswith("--"))
    assert exact and exact.items() <= LOCKED.items()
    ci = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert ci["jobs"]["figures-and-tests"]["strategy"]["matrix"]["python"] == PYTHONS


def test_qlab_itself_pulls_in_no_framework():
    frameworks = {"tensorflow", "tf_keras", "torch", "transformers", "auto_gptq"}
    code = "import sys, qlab, qlab.core.records, qlab.core.closure, qlab.run.cli"
    assert not frameworks & set(python("-c", code + "; print(*sys.modules)").split())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux alone")
def test_triton_lives_beside_tensorflow_as_long_as_qlab_came_first():
    """PyTorch for CUDA brings Triton."""
    done = side_packages.run_with(["triton==3.7.1"], "import qlab, tensorflow, triton")
    assert done.returncode == 0, done.stderr


def test_make_takes_the_first_python_that_serves(tmp_path):
    """One is too new, and the name of one lies, as shims do."""
    for name in ("make", "sh", "tr"):
        (tmp_path / name).symlink_to(shutil.which(name))
    for name, told in {"python3.13": "2, 7", "python3.12": "3, 12", "python3": "3, 14"}.items():
        code = f"import sys; sys.version_info = ({told}); exec(sys.argv[1])"
        (tmp_path / name).write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$2"\n')
        (tmp_path / name).chmod(0o755)
    call = ["make", "--eval=chosen: ; @echo $(PYTHON);", "chosen"]
    done = subprocess.run(call, cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True)
    assert done.stdout.decode().strip() == "python3.12", done.stderr
