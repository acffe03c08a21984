"""Prepare a session on Kaggle: packages, folders, data, earlier work, GPU, clock.

`start` is called by cell.py in the notebook's own process, and prints a sentence about each step.
Nothing of the image is replaced: what missing.txt lists and the image lacks is added without its
dependencies, and qlab itself is used from where it lies.
"""

import contextlib
import importlib
import importlib.metadata
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

LIMIT = 12 * 3600  # seconds of a session
OUTPUT = 20 * 10**9  # bytes that a session may leave in /kaggle/working
SPARE = 45 * 60  # seconds left for the piece of work that has begun, and for saving
PARTS = ("data", "figures", "notebooks")  # of the project, needed in QLAB_HOME


def start(project: Path) -> None:
    """Install, set QLAB_HOME, QLAB_DATA and QLAB_STOP_AT for this process and its children."""
    print(install(project))
    sys.path.insert(0, str(project / "src"))
    above = [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []
    os.environ["PYTHONPATH"] = os.pathsep.join([str(project / "src"), *above])
    importlib.invalidate_caches()
    for sentence in prepare(project):
        print(sentence)


def install(project: Path) -> str:
    """Add what the image lacks, from the bundle's wheels or, if there are none, from PyPI."""
    have = {_plain(d.name) for d in importlib.metadata.distributions() if d.name}
    lines = (project / "workflow" / "kaggle" / "missing.txt").read_text().splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    missing = [line for line in listed if _plain(line.partition("==")[0]) not in have]
    wheels = project.parent / "wheels"
    offline = ["--no-index", "--find-links", str(wheels)]
    call = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *missing]
    call += offline if wheels.is_dir() else ["--no-build-isolation"]
    if missing:
        environment = {**os.environ, "BUILD_CUDA_EXT": "0"}  # auto-gptq without its kernels
        done = subprocess.run(call, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise SystemExit(f"{' '.join(call)} failed:\n{done.stderr}")
    return f"Installed beside the image's own packages: {', '.join(missing) or 'nothing'}."


def _plain(name: str) -> str:
    """A distribution's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def prepare(project: Path) -> Iterator[str]:
    """The steps of `start` after the installation, each yielding sentences about it."""
    from tqdm import tqdm

    from qlab.core import paths, progress

    kaggle = paths.kaggle()
    if kaggle is None:
        raise SystemExit("This is no session of Kaggle; elsewhere, use make install.")
    home = kaggle / "working" / "qlab"
    os.environ["QLAB_HOME"] = str(home)
    for part in PARTS:
        copy(project / part, home / part)
    outputs = [p for n in (1, 3) for p in kaggle.glob("input/" + "*/" * n + "qlab/build")]
    for old in outputs:
        fits = 2 * used(old.parent) <= room(kaggle / "working")
        copy(old.parent, home, shutil.copyfile if fits else os.symlink)
        how = "copied" if fits else "linked, for want of room: attach it next time too"
        yield f"Found the output of an earlier run in {old.parent}: what it made is {how}."
    if "QLAB_DATA" not in os.environ:
        os.environ["QLAB_DATA"] = str(kaggle / "temp" / "qlab-data")
        yield from attached(project, kaggle / "input", kaggle / "temp" / "qlab-data")
    if not online():
        os.environ["HF_HUB_OFFLINE"] = "1"  # so that its libraries do not try
        yield "The internet is off: nothing is downloaded."
    elif token := os.environ.get("HF_TOKEN") or secret("HF_TOKEN"):
        os.environ["HF_TOKEN"] = token
    else:
        yield "There is no HF_TOKEN (Add-ons, Secrets), which gated models such as Llama need."
    yield gpu()
    if not os.environ.get("QLAB_STOP_AT"):
        os.environ["QLAB_STOP_AT"] = str(int(time.time() + LIMIT - SPARE))
    left = (progress.stop_at() - time.time()) / 3600
    yield f"No piece of work is begun after {left:.1f} hours from now (QLAB_STOP_AT)."
    free = tqdm.format_sizeof(room(kaggle / "working"), "B")
    yield f"Results go to {home}, where {free} can be written."


def room(working: Path) -> int:
    """Bytes that can still be written to /kaggle/working, whose content has a limit of its own."""
    return max(0, min(shutil.disk_usage(working).free, OUTPUT - used(working)))


def used(folder: Path) -> int:
    """Bytes of all files below a folder; a link counts with its own size, not its target's."""
    return sum(p.lstat().st_size for p in folder.rglob("*") if p.is_symlink() or p.is_file())


def online() -> bool:
    """Whether the hub may be asked, and its server answers within seconds. Asked in a separate
    thread, because a name lookup has no time-out."""
    forbidden = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(OSError), socket.create_connection(("huggingface.co", 443), 8):
            answered.set()

    threading.Thread(target=ask, daemon=True).start()
    return not forbidden and answered.wait(8)


def secret(label: str) -> str:
    """A secret attached to the notebook, or an empty string. Without a network this takes 40 s."""
    try:
        from kaggle_secrets import UserSecretsClient

        return (UserSecretsClient().get_secret(label) or "").strip()
    except Exception:  # its errors for "not attached" have no common class
        return ""


def copy(source: Path, target: Path, how=shutil.copyfile) -> None:
    """Copy one folder, which may be read-only, into another; what is there already stays."""

    def new(one: str, other: str) -> None:
        if not os.path.lexists(other):
            how(one, f"{other}.part")  # so that a killed copy leaves no half file
            os.replace(f"{other}.part", other)

    shutil.copytree(source, target, copy_function=new, dirs_exist_ok=True)
    for folder in (target, *(p for p in target.rglob("*") if p.is_dir())):
        folder.chmod(0o755)


def attached(project: Path, inputs: Path, folder: Path) -> Iterator[str]:
    """Link in `folder` what kernels.yaml names and is attached, in the layout of QLAB_DATA."""
    import yaml

    wants = yaml.safe_load((project / "workflow" / "kaggle" / "kernels.yaml").read_text())
    table = {k: v for entry in wants.values() for k, v in entry.get("attach", {}).items()}
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier call; data may be detached since
    folder.mkdir(parents=True)
    for place, what in table.items():
        parts = what.split("/")  # Kaggle once mounted without kind and owner
        found = next((p for shape in (parts, parts[2:]) for p in below(inputs, shape)), None)
        if found:
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).symlink_to(found)
            yield f"Found {place} in {found}."
    if not any(folder.iterdir()):
        yield "Found no data or models attached; profile=small and full want them or the internet."


def below(folder: Path, parts: list[str]) -> Iterator[Path]:
    """What lies below a folder under these names, in upper or lower case; * is any name."""
    if not parts:
        yield folder
    elif folder.is_dir():
        for one in sorted(folder.iterdir()):
            if parts[0] in ("*", one.name) or parts[0].lower() == one.name.lower():
                yield from below(one, parts[1:])


def gpu() -> str:
    """The session's GPU, and whether its PyTorch has kernels for it.

    This is asked in a separate process: a notebook that needs no PyTorch should not have it loaded,
    and a GPU that was looked at holds memory.
    """
    if shutil.which("nvidia-smi") is None:
        return "There is no GPU, and only profile=full of notebook 02 needs one."
    code = "from qlab.language import device; gpu = device.look(); print(device.unfit(gpu, 0) or "
    code += "f'The GPU is a {gpu.name} with {gpu.free / 1e9:.1f} GB free', end='.')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() or f"PyTorch could not look at the GPU: {done.stderr[-300:]}"
