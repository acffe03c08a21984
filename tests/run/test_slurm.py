"""The SLURM profile on a real SLURM: controller and two nodes on this machine, one of them lost."""

import os
import shutil
import subprocess

import pytest
import toy_sweep

TRY = "workflow/profiles/slurm/try_on_one_machine.sh"


def lacking() -> str:
    """Why SLURM cannot be tried here; empty where it can."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    if not all(shutil.which(tool, path=path) for tool in ("slurmctld", "slurmd", "munged")):
        return "SLURM is not installed (Debian: slurm-wlm and munge)"
    return "" if os.geteuid() == 0 else "nodes are PID namespaces, which need root"


@pytest.mark.slow
def test_a_sweep_on_slurm_is_the_local_one_and_survives_a_lost_node(tmp_path, monkeypatch):
    if reason := lacking():
        pytest.skip(reason)
    project = toy_sweep.project(tmp_path / "project")
    # Absolute, for the sweeps work in folders of their own, and so do SLURM's nodes.
    monkeypatch.setenv("PYTHONPATH", str(project / "src"))
    monkeypatch.setenv("TOY_SECONDS", "4")  # long enough for a node to be lost meanwhile
    for name in ("QLAB_HOME", "MAKEFLAGS", "MAKELEVEL", "SWEEP_PROFILE", "KEEP"):
        monkeypatch.delenv(name, raising=False)
    done = subprocess.run([project / TRY, "toy"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert told[-1].startswith("with one node lost: the same records")
    assert sum(line.startswith("on two nodes: the same records") for line in told) == 1
