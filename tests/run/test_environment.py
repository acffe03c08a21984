"""The environment: one set of versions everywhere, and three Pythons that take it."""

import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import side_packages
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PYTHONS = ["3.11", "3.12", "3.13"]
STUB = """#!/bin/sh
exec {python} -c "import sys; sys.version_info = {version}; exec(sys.argv[1])" "$2"
"""


def locked() -> dict[str, str]:
    """Versions by canonical name, as requirements.lock has them."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): exact for name, exact in pairs}


def wanted() -> list[Requirement]:
    """What pyproject.toml asks for, extras included, less its references to itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    texts = [*project["dependencies"], *(text for extra in extras for text in extra)]
    return [r for r in map(Requirement, texts) if r.name != project["name"]]


def python(*arguments: str) -> str:
    """stdout of this environment's Python; its stderr is shown where it fails."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_lock_is_exact_and_is_what_is_installed():
    installed = {name: Version(version(name)).public for name in locked()}
    assert installed == {name: str(Version(exact)) for name, exact in locked().items()}
    assert "No broken requirements found" in python("-m", "pip", "check")


def test_pyproject_admits_the_lock():
    for requirement in wanted():
        exact = locked()[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(exact), f"{requirement} but {exact} is locked"


def test_environment_yml_is_the_lock_and_ci_has_all_pythons():
    *conda, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert f"python={PYTHONS[0]}" in conda  # the one for which auto-gptq has a wheel
    assert "--requirement requirements.lock" in pip["pip"]
    exact = dict(line.split("==") for line in pip["pip"] if not line.startswith("--"))
    assert exact and exact == {name: locked()[name] for name in exact}
    ci = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert ci["jobs"]["figures-and-tests"]["strategy"]["matrix"]["python"] == PYTHONS


def make(tmp_path: Path, there: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    """make with our Makefile, where these Pythons (versions by name) are on the path."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("make", "sh", "tr"):
        (tools / name).symlink_to(shutil.which(name))
    for name, its_version in there.items():
        stub = STUB.format(python=sys.executable, version=tuple(map(int, its_version.split("."))))
        (tools / name).write_text(stub)
        (tools / name).chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    for file in ("requirements.lock", "pyproject.toml"):
        (tmp_path / file).touch()
    return subprocess.run(
        ["make", *arguments], cwd=tmp_path, env={"PATH": str(tools)}, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    "there, chosen",
    [
        ({"python3": "3.14", "python3.13": "3.13", "python3.12": "3.12"}, "python3.12"),
        ({"python3.11": "2.7", "python3": "3.11"}, "python3"),  # a name that lies, as shims do
    ],
)
def test_make_takes_the_first_python_that_serves(tmp_path, there, chosen):
    done = make(tmp_path, there, "--eval=chosen: ; @echo $(PYTHON);", "chosen")
    assert done.stdout.strip() == chosen, done.stderr


def test_without_one_a_sentence_says_what_to_do(tmp_path):
    said, _ = make(tmp_path, {"python3": "3.14"}, "install").stderr.splitlines()  # make's own
    assert said.startswith("qlab needs Python 3.11, 3.12 or 3.13: install one")


def test_qlab_itself_pulls_in_no_framework():
    frameworks = {"tensorflow", "tf_keras", "torch", "transformers", "auto_gptq"}
    code = "import sys, qlab, qlab.core.records, qlab.core.closure; print(*sys.modules)"
    assert not frameworks & set(python("-c", code).split())


def test_no_room_imports_what_it_must_not():
    python("-c", "from importlinter.cli import lint_imports_command as check; check()")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux alone")
@pytest.mark.parametrize(
    "names, lives",
    [
        ("qlab, tensorflow, triton", True),
        ("tensorflow, qlab", True),  # too late for Triton, which nothing here needs
        ("tensorflow, triton", False),
    ],
)
def test_triton_lives_beside_tensorflow_as_long_as_qlab_came_first(names, lives):
    """PyTorch for CUDA brings Triton; where it lives without qlab's help, that may go."""
    folder = side_packages.installed("triton==3.7.1")
    done = side_packages.run_with(folder, f"import {names}")
    assert done.returncode == 0 if lives else done.returncode < 0, done.stderr
