"""ONNX Runtime beside LiteRT, from our side: its environment, its files, its clock.

The other side is `onnx_centernet.py`, which runs in a separate environment under build/, made when
first needed, because converter and runtime are not part of qlab's lock.
"""

import contextlib
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from qlab.core import paths
from qlab.core.cache import artefact, file_sha256
from qlab.core.errors import QlabError
from qlab.detector.detect import Detector

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
SCRIPT = HERE / "onnx_centernet.py"
VARIANTS = ("onnx_fp32", "onnx_int8_dynamic", "onnx_int8_selective")
TOLERANCE = 1e-3  # largest difference in a box (share of the image) or a score that can be rounding


def _run(what: str, *command: str | Path) -> None:
    """Run a command; if it fails, raise QlabError with `what` and its last line."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise QlabError(f"{what} failed ({last}); --no-peers does without ONNX Runtime.")


def pins() -> dict[str, str]:
    """Versions by package, as requirements.txt names them."""
    lines = (line.partition("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines())
    return dict(line.split("==") for line in lines if line)


def environment() -> Path:
    """The Python of the peers' environment, which is installed first if it is not complete."""
    folder = paths.build() / "peers" / "onnx"
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    if not (stamp.is_file() and stamp.read_text() == REQUIREMENTS.read_text()):
        print("Making an environment with ONNX Runtime; this takes a minute or more.", flush=True)
        _run("Making the peers' environment", sys.executable, "-m", "venv", "--clear", folder)
        install = ["-m", "pip", "install", "--quiet", "--requirement"]
        _run("Installing the peers' packages", python, *install, REQUIREMENTS)
        stamp.write_text(REQUIREMENTS.read_text())
    return python


def files(
    python: Path, fp32: Path, calibration: np.ndarray, left_float: str = ""
) -> dict[str, Path]:
    """The .onnx file of each of VARIANTS, from the float .tflite, so that the graph is the same.

    `calibration` is uint8 [n, 1, H, W, 3], the images that also calibrate the .tflite files; what
    has `left_float` in its name stays float here, too.
    """
    recipe = {
        "engine": "tf2onnx, onnxruntime.quantization",
        "float_file": file_sha256(fp32),
        "left_float": left_float,
        "script": file_sha256(SCRIPT),
        "requirements": file_sha256(REQUIREMENTS),
        "calibration": hashlib.sha256(calibration.tobytes()).hexdigest(),
    }

    def make(folder: Path) -> None:
        np.save(folder / "calibration.npy", calibration)
        images = folder / "calibration.npy"
        call = [python, "-I", SCRIPT, "convert", fp32, images, folder, left_float]
        _run("Converting to ONNX", *call)
        images.unlink()

    folder = artefact("onnx", recipe, make)
    return {name: folder / f"{name}.onnx" for name in VARIANTS}


def detections(
    python: Path, model: Path, fp32: Path, images: Sequence[np.ndarray]
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """What a .onnx of `fp32` answers for each image (uint8 [H, W, 3]), as `Detector.detections`."""
    with tempfile.TemporaryDirectory() as folder:
        given, outputs = Path(folder, "images.npy"), Path(folder, "outputs.npz")
        np.save(given, np.stack(images)[:, None])
        _run("Running the ONNX graph", python, "-I", SCRIPT, "detect", model, given, outputs)
        theirs = dict(np.load(outputs))
    ours = Detector(fp32, 1)
    names = {o["index"]: o["name"] for o in ours.interpreter.get_output_details()}
    boxes, classes, scores = (theirs[names[index]] for index in ours.order)
    return list(zip(boxes, np.rint(classes).astype(int), scores, strict=True))


def differences(python: Path, model: Path, fp32: Path, image: np.ndarray) -> dict[str, float]:
    """Largest difference of boxes and of scores between the .onnx and the .tflite on one image.

    Raises QlabError if it exceeds TOLERANCE: they are then not the same function, and their times
    cannot be compared.
    """
    [theirs], ours = detections(python, model, fp32, [image]), Detector(fp32, 1)(image)
    apart = [float(np.abs(a - b).max()) for a, b in zip(theirs, ours, strict=True)]
    found = {"boxes": apart[0], "scores": apart[2]}
    if max(found.values()) > TOLERANCE:
        raise QlabError(
            f"{model.name} is not the function of {fp32.name}: boxes differ by up to "
            f"{found['boxes']:.2g}, scores by up to {found['scores']:.2g} (allowed: {TOLERANCE})."
        )
    return found


class Server:
    """A process that holds the .onnx files ready and runs one on request; a context manager.

    `seconds` has, by variant, what that process's own clock measured for each run, so the time
    spent in the pipe does not count.
    """

    def __init__(
        self, python: Path, models: Mapping[str, Path], image: np.ndarray, threads: int
    ) -> None:
        self.seconds: dict[str, list[float]] = {name: [] for name in models}
        given = paths.build() / "peers" / "image.npy"
        np.save(given, image[None])
        self.log = (paths.build() / "peers" / "server.log").open("w+")
        pairs = [f"{name}={file}" for name, file in models.items()]
        self.process = subprocess.Popen(
            [python, "-I", SCRIPT, "serve", str(threads), given, *pairs],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
        )  # fmt: skip
        self._answer()  # "ready"

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # it died: `run` has reported it
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def _answer(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            last = (self.log.read().strip() or "no message").splitlines()[-1]
            raise QlabError(f"ONNX Runtime's process ended early: {last}")
        return line

    def run(self, variant: str) -> None:
        """Run a variant once."""
        with contextlib.suppress(BrokenPipeError):  # it died: `_answer` says why
            self.process.stdin.write(f"{variant}\n")
            self.process.stdin.flush()
        self.seconds[variant].append(float(self._answer()))
