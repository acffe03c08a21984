"""Prove that the notebooks run on Kaggle, without Kaggle: .venv/bin/python workflow/kaggle/prove.py

It makes, all under build/kaggle: an environment with the Python and the package versions of
Kaggle's image (image.txt; 10 GB and some minutes the first time), the bundle to attach, and the
kernels to push. Then each notebook runs at smoke as Kaggle would run it: by papermill, in
/kaggle/working, with /kaggle/input read-only and the network off, in an environment with a fresh
layer of packages on top. Notebook 02 runs once more with its own output attached, to see that the
work is not repeated. PYTHON names a Python 3.12.

/kaggle and the missing network are Linux namespaces, which need no privileges; where they cannot be
made, a folder stands in for /kaggle and the network stays on, and a message says so.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import bundle
import kernels

from qlab.core.errors import QlabError

ROOT = Path(__file__).resolve().parents[2]
USER = "someone"
AGAIN = "02_compress_llama_with_gptq"  # runs twice
LIMIT = 1800  # seconds a notebook may take
# A root of our own: the machine's folders, and /kaggle beside them. $1 to $4 are folders.
NAMESPACE = """
set -e
root=$1 input=$2 working=$3 image=$4; shift 4
"$image/bin/python" -c "$LOOPBACK"
mount -t tmpfs none "$root"
for place in /*; do
    if [ -L "$place" ]; then cp -P "$place" "$root/"
    elif [ -d "$place" ]; then mkdir "$root$place"; mount --rbind "$place" "$root$place"; fi
done
mkdir -p "$root/kaggle/input" "$root/kaggle/working" "$root/kaggle/temp/home"
mount --bind "$input" "$root/kaggle/input"
mount -o remount,bind,ro "$root/kaggle/input"
mount --bind "$image" "$root$image"
mount -o remount,bind,ro "$root$image"
mount --bind "$working" "$root/kaggle/working"
exec chroot "$root" /bin/sh -c 'cd /kaggle/working && exec "$@"' sh "$@"
"""
# `ip link set lo up`, by which notebook and kernel talk, without iproute2: SIOCSIFFLAGS, IFF_UP.
LOOPBACK = """
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh22x", b"lo", 1))
"""
PUSH = """
import sys
from kaggle.api.kaggle_api_extended import KaggleApi

class Client:  # stands where the network would be
    def __enter__(self):
        self.kernels = self.kernels_api_client = self
        return self
    def __exit__(self, *_): pass
    def save_kernel(self, request):
        print(request.slug, request.enable_gpu, request.enable_internet, request.machine_shape)

api = KaggleApi()
api.build_kaggle_client = Client
for folder in sys.argv[1:]:
    api.kernels_push(folder)
"""


def image(folder: Path, python: str) -> Path:
    """The environment with the image's versions, made once; returns its Python."""
    made = folder / "bin" / "python"
    if not (folder / ".whole").is_file():
        run([python, "-c", "import sys; assert sys.version_info[:2] == (3, 12), sys.version"])
        run([python, "-m", "venv", "--clear", folder])
        pins = ROOT / "workflow" / "kaggle" / "image.txt"
        run([made, "-m", "pip", "install", "--quiet", "--requirement", pins])
        (folder / ".whole").touch()
    return made


def run(call: list, **options) -> subprocess.CompletedProcess:
    """Run a command that must succeed."""
    done = subprocess.run([str(part) for part in call], capture_output=True, text=True, **options)
    if done.returncode:
        raise QlabError(f"{' '.join(map(str, call))} failed:\n{done.stdout}{done.stderr}")
    return done


def frozen(python: Path) -> str:
    """Everything that is installed in an environment, with versions."""
    return run([python, "-m", "pip", "freeze", "--all"]).stdout


def layer(folder: Path, python: Path) -> Path:
    """Make an empty environment on top of the image's, as a session has; returns its Python."""
    shutil.rmtree(folder, ignore_errors=True)
    run([python, "-m", "venv", "--without-pip", folder])
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    below, above = (
        Path(run([p, "-c", where]).stdout.strip()) for p in (python, folder / "bin" / "python")
    )
    # addsitedir, unlike the path alone, also reads the image's own .pth files: distutils is one.
    (above / "image.pth").write_text(f"import site; site.addsitedir({str(below)!r})\n")
    return folder / "bin" / "python"


def isolated() -> bool:
    """Whether this machine lets us make namespaces."""
    if shutil.which("unshare") is None:
        return False
    words = ["unshare", "--user", "--map-root-user", "--mount", "--net", "true"]
    return subprocess.run(words, capture_output=True).returncode == 0


def session(folder: Path, inputs: Path, image_folder: Path, call: list, apart: bool) -> dict:
    """How to start `call` in a session: arguments of subprocess.run."""
    working = folder / "working"
    environment = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "KAGGLE_KERNEL_RUN_TYPE": "Batch",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "HOME": "/kaggle/temp/home",
    }
    if apart:
        root = folder / "root"
        root.mkdir()
        environment |= {"LOOPBACK": LOOPBACK, "PYTHONDONTWRITEBYTECODE": "1"}
        spaces = ["unshare", "--user", "--map-root-user", "--mount", "--net", "bash", "-c"]
        call = [*spaces, NAMESPACE, "prove", root, inputs, working, image_folder, *call]
    else:
        (folder / "input").symlink_to(inputs)
        environment |= {"QLAB_KAGGLE": str(folder), "HOME": str(folder)}
    return {"args": [str(part) for part in call], "cwd": working, "env": environment}


def prove(kernel: Path, folder: Path, inputs: Path, python: Path, apart: bool) -> tuple[float, str]:
    """Run one kernel's notebook in its own session; returns seconds, and what went wrong or ""."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "working").mkdir(parents=True)
    name = json.loads((kernel / "kernel-metadata.json").read_text())["code_file"]
    shutil.copy(kernel / name, folder / "working" / "__notebook__.ipynb")
    on_top = layer(folder / "layer", python)
    call = [on_top, "-m", "papermill", "__notebook__.ipynb", "__notebook__.ipynb"]
    call += ["--kernel", "python3", "--no-progress-bar"]
    started = time.monotonic()
    with (folder / "log").open("w") as log:
        how = session(folder, inputs, python.parents[1], call, apart)
        try:
            done = subprocess.run(**how, stdout=log, stderr=subprocess.STDOUT, timeout=LIMIT)
        except subprocess.TimeoutExpired:
            return LIMIT, "took too long"
    seconds = time.monotonic() - started
    last = (folder / "log").read_text().strip().splitlines()[-1:] or ["no word"]
    return seconds, f"exit {done.returncode}: {last[0]}" if done.returncode else unfinished(folder)


def unfinished(folder: Path) -> str:
    """What is missing although papermill succeeded: a cell that did not run, or any picture."""
    cells = json.loads((folder / "working" / "__notebook__.ipynb").read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    if [cell for cell in code if not cell["execution_count"]]:
        return "not every cell was run"
    outputs = [output for cell in code for output in cell["outputs"]]
    return "" if any("image/png" in o.get("data", {}) for o in outputs) else "it drew nothing"


def said(folder: Path) -> str:
    """What qlab's cell printed in a session."""
    cells = json.loads((folder / "working" / "__notebook__.ipynb").read_text())["cells"]
    first = next(cell for cell in cells if cell["cell_type"] == "code")
    return "".join(text for output in first["outputs"] for text in output.get("text", []))


def main() -> None:
    """Make what is needed, run all notebooks, print the table; exit status 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", type=Path, help="an environment to take for Kaggle's image")
    parser.add_argument("--only", default="", help="run the notebooks whose name contains this")
    given = parser.parse_args()
    place = ROOT / "build" / "kaggle"
    if given.image:
        python = given.image.absolute() / "bin" / "python"
    else:
        python = image(place / "image", os.environ.get("PYTHON", "python3.12"))
    before = frozen(python)
    proof, inputs = place / "proof", place / "proof" / "input"
    shutil.rmtree(proof, ignore_errors=True)
    attached = inputs / "datasets" / USER / bundle.SLUG
    bundle.write(USER, attached)
    folders = kernels.write(USER, proof / "kernels", ["profile=smoke"])
    pushed = run([python, "-c", PUSH, *folders], env={**os.environ, "KAGGLE_USERNAME": USER,
                                                     "KAGGLE_KEY": "none"})  # fmt: skip
    apart = isolated()
    print(f"The kaggle client accepts {len(pushed.stdout.splitlines())} kernels.")
    print("Network off, /kaggle/input and the image read-only." if apart else
          "No namespaces here: a folder stands in for /kaggle, and the network is on.")  # fmt: skip
    print(f"\n{'notebook':<40} {'seconds':>7}  ok", flush=True)
    failed = 0
    for kernel in folders:
        if given.only not in kernel.name:
            continue
        sessions = [kernel.name] + [f"{kernel.name} again"] * (kernel.name == AGAIN)
        for one in sessions:
            seconds, wrong = prove(kernel, proof / one, inputs, python, apart)
            print(f"{one:<40} {seconds:7.0f}  {wrong or 'yes'}", flush=True)
            failed += bool(wrong)
            if one == AGAIN:
                output = inputs / "notebooks" / USER / "qlab-02-compress-llama-with-gptq"
                shutil.copytree(proof / one / "working", output, symlinks=True)
        if kernel.name == AGAIN:
            shutil.rmtree(inputs / "notebooks")
    if frozen(python) != before:
        failed += 1
        print("The image's packages were changed, which they must not be.")
    print(f"\nWhat the cell said in {one}:\n{said(proof / one)}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    try:
        main()
    except QlabError as error:
        sys.exit(f"prove: {error}")
