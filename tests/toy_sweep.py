"""A project with the real Makefile, workflow and sweep modules, whose points take no time.

In the place of what `qlab.language.point` measures is a stand-in: it does what `orders` says.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SWEEPS = """
toy:
  experiment: llama_gptq
  profile: smoke
  axes: {method: [rtn], bits: [4, 2], group: [64], model: [m], seed: [0]}
  resources: {mem_mb: 100, runtime: 5}
"""
MEASURE = """
import json, os, signal, time
from pathlib import Path

from qlab.core.errors import QlabError
from qlab.core.records import Record


class Task:
    def settings(self):
        return {"model": "m"}

    def inputs(self):
        return {"model": "0"}


def measure(point, profile, threads):
    from qlab.language import toy_middle

    name = point.variant
    with open("log", "a") as log:
        print(name, file=log)
    orders = Path("orders")
    order = json.loads(orders.read_text()).get(name, "") if orders.exists() else ""
    if order == "refuse":
        raise QlabError("It did not like it.")
    if order == "memory":
        raise MemoryError("3 GB")
    if order == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(float(os.environ.get("TOY_SECONDS", 0)))
    value = float("nan") if order == "nan" else float(getattr(point, "bits", 32))
    return Task(), [Record("llama_gptq", point.model, "d", name, "acc", value, "1")], []
"""


def project(folder: Path) -> Path:
    """The toy project in a folder that is made."""
    for part in ("src/qlab", "data/models/llama_mini", "workflow"):
        (folder / part).mkdir(parents=True)
    for name in ("Makefile", *(f"workflow/{n}" for n in ("sweep.smk", "sweep.py", "exclusive.py"))):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "workflow" / "profiles", folder / "workflow" / "profiles")
    package, real = folder / "src" / "qlab", ROOT / "src" / "qlab"
    for part in ("core", "run"):
        shutil.copytree(real / part, package / part)
    (package / "language").mkdir()
    # What can be swept is the real room's; only measuring is not.
    head, _, _ = (real / "language" / "point.py").read_text().partition("def measure")
    code = {"__init__": "", "language/__init__": "", "language/point": head + MEASURE}
    code |= {"language/toy_middle": "from qlab.language import toy_deep", "language/toy_deep": ""}
    code |= {"language/toy_other": "", "__main__": (real / "__main__.py").read_text()}
    for name, text in code.items():
        (package / f"{name}.py").write_text(text)
    (folder / "workflow" / "sweeps.yaml").write_text(SWEEPS)
    (folder / "data" / "mini_lambada.yaml").touch()  # of which a point's fingerprint is
    for name in ("requirements.lock", "pyproject.toml"):
        (folder / name).touch()
    (folder / ".venv").symlink_to(sys.prefix)
    orders(folder)
    return folder


def orders(folder: Path, **by_variant: str) -> None:
    """What measuring a variant does: refuse, memory, nan or kill; else it goes well."""
    (folder / "orders").write_text(json.dumps(by_variant))


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """`make sweep SWEEP=toy`; `-o`, because its .venv is the one the tests run in."""
    (folder / "log").unlink(missing_ok=True)
    call = ["make", "-o", ".venv/.installed", "sweep", "SWEEP=toy", *arguments]
    # The toy's modules stand before the installed ones.
    its = {k: v for k, v in os.environ.items() if k != "QLAB_HOME"} | {"PYTHONPATH": "src"}
    return subprocess.run(call, cwd=folder, env=its, capture_output=True, text=True)


def ran(folder: Path) -> list[str]:
    """The variants that the last `make` measured, sorted."""
    log = folder / "log"
    return sorted(log.read_text().split()) if log.exists() else []
