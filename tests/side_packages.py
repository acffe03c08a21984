"""Packages beside the locked environment, for tests of what users have or will have."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from conftest import ROOT

from qlab.core import cache

UNREACHABLE = ("connection", "network", "resolution", "timed out", "proxy", "http error",
               "not enough bytes")  # fmt: skip


def installed(*wanted: str) -> Path:
    """A folder with these packages ("name==version"), without what they ask for; made once.

    It is named after the first. Put in front of the locked environment, it is found first.
    """
    target = ROOT / "build" / "peers" / wanted[0].replace("==", "-")
    if not target.is_dir():
        with cache.written_whole(target) as part:
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
            done = subprocess.run([*pip, "--target", part, *wanted], capture_output=True, text=True)
            if done.returncode and any(word in done.stderr.lower() for word in UNREACHABLE):
                pytest.skip(f"no package registry within reach: {done.stderr.splitlines()[-1]}")
            assert done.returncode == 0, done.stderr
    return target


def run_with(wanted: Iterable[str], code: str) -> subprocess.CompletedProcess:
    """Python code in a process that finds these packages first, and the tests'."""
    path = map(str, (installed(*wanted), ROOT / "src", ROOT / "tests"))
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path), "USE_TF": "0"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
