"""A session on Kaggle made ready: folders, data, earlier work, device, clock; each in a sentence.

`start` is called by the cell of workflow/kaggle/cell.py, in the notebook's own process.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from qlab.core import disk, hub, network, paths, time_budget
from qlab.core.cache import written_whole
from qlab.core.errors import QlabError
from qlab.kaggle import earlier, inputs

# What of the project a home needs: its embedded models and evidence, committed records, notebooks.
PARTS = ("data", "figures", "notebooks")


def start(project: Path) -> None:
    """Set QLAB_HOME, QLAB_DATA and QLAB_STOP_AT for this process and its children; say all."""
    for sentence in prepare(project):
        print(sentence)


def prepare(project: Path) -> Iterator[str]:
    """The steps of `start`, each giving the sentences about it; QlabError away from Kaggle."""
    kaggle = paths.kaggle()
    if kaggle is None:
        raise QlabError(
            "This is no session of Kaggle (KAGGLE_KERNEL_RUN_TYPE is not set); elsewhere, use "
            "make install."
        )
    home = kaggle / "working" / "qlab"
    os.environ["QLAB_HOME"] = str(home)
    fill(home, project)
    for folder in earlier.homes(kaggle / "input"):
        yield earlier.take_over(folder, home)
    yield from _data(kaggle)
    yield from _network()
    yield _device()
    yield _clock()
    yield (f"Results go to {home}, where {disk.in_words(disk.free(home))} can be written.")


def fill(home: Path, project: Path) -> None:
    """Copy what a home needs out of the project, which may be read-only; what is there stays."""
    for part in PARTS:
        if not (home / part).exists():
            with written_whole(home / part) as folder:
                shutil.copytree(project / part, folder, copy_function=shutil.copyfile)
            for path in (home / part, *(home / part).rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)


def _data(kaggle: Path) -> Iterator[str]:
    """Links to what is attached, in the layout of QLAB_DATA, outside of what Kaggle saves."""
    if chosen := os.environ.get("QLAB_DATA"):
        yield f"Data comes from {chosen} (QLAB_DATA)."
        return
    folder = kaggle / "temp" / "qlab-data"
    shutil.rmtree(folder, ignore_errors=True)  # links of an earlier call; something may be detached
    folder.mkdir(parents=True)
    os.environ["QLAB_DATA"] = str(folder)
    found = inputs.find(kaggle / "input")
    yield from inputs.view(found, folder)
    if not found:
        yield "Found no data or models attached: profile=full will need them, or the internet."


def _network() -> Iterator[str]:
    """Whether there is one; without, Hugging Face's libraries are told not to try."""
    if not network.hub_offline() and network.reachable("https://huggingface.co"):
        yield "The internet is on."
        if not hub.token():
            yield "There is no HF_TOKEN (Add-ons, Secrets), which gated models such as Llama need."
        return
    os.environ["HF_HUB_OFFLINE"] = "1"
    yield "The internet is off: nothing is downloaded."


def _device() -> str:
    """The GPU of this session, and whether this PyTorch can use it.

    Asked in a process of its own: a notebook that needs no PyTorch shall not have it loaded, and a
    GPU that was looked at holds memory.
    """
    if shutil.which("nvidia-smi") is None:
        return "There is no GPU, and only profile=full of notebook 02 needs one."
    code = "from qlab import device_guard as guard; print(guard.introduce(guard.look()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() or f"PyTorch could not look at the GPU: {done.stderr[-300:]}"


def _clock() -> str:
    """Set when to stop, unless it is set: early enough to save before the session is ended."""
    if not time_budget.stop_at():
        os.environ["QLAB_STOP_AT"] = str(int(time.time() + time_budget.LIMIT - time_budget.SPARE))
    left = (time_budget.stop_at() - time.time()) / 3600
    return f"No piece of work is begun after {left:.1f} hours from now (QLAB_STOP_AT)."
