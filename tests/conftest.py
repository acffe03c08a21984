"""Homes for tests, and where the small real data lies."""

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest

# An example is not timed: beside other processes the same one takes now 10 ms, now a second.
hypothesis.settings.register_profile("qlab", deadline=None)
hypothesis.settings.load_profile("qlab")

# `make test` hands its own variables on; a make that a test calls shall not have them.
MAKE = ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS")
for name in (*MAKE, "ARGS", "PROFILE", "SWEEP", "SWEEP_PROFILE"):
    os.environ.pop(name, None)

ROOT = Path(__file__).resolve().parents[1]
TIERS = ("mini", "small")
NOTEBOOKS = sorted(p for p in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_" not in str(p))


def fresh_home(folder: Path) -> Path:
    """A home of its own with what is committed to be read, and nothing made yet."""
    (folder / "data" / "results").mkdir(parents=True)
    files = ("claims.yaml", "mini_lambada", "mini_lambada.yaml", "mini_reviews",
             "mini_reviews.yaml")  # fmt: skip
    for part in ("models", "evidence", "results/mini-long", "coco_calibration.csv", *files):
        (folder / "data" / part).symlink_to(ROOT / "data" / part)
    for part in (f"{kind}/{tier}" for kind in ("data/results", "figures") for tier in TIERS):
        # copies, because tests write there
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("*.png", "*.svg"))
    return folder


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A folder served on loopback: the address."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def empty_home(tmp_path, monkeypatch):
    """A `QLAB_HOME` with nothing in it."""
    monkeypatch.setenv("QLAB_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty `QLAB_HOME` with the embedded models."""
    monkeypatch.setenv("QLAB_HOME", str(fresh_home(tmp_path / "home")))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory) -> Path:
    """One home for a file of tests: what is embedded is exported or written once."""
    return fresh_home(tmp_path_factory.mktemp("shared") / "home")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of small real data that `QLAB_DATA` names; without it the test is skipped."""
    chosen = os.environ.get("QLAB_DATA")
    if not chosen:
        pytest.skip("needs QLAB_DATA, a folder of real data (docs/site/reference.md)")
    folder = Path(chosen)
    assert folder.is_dir(), f"QLAB_DATA names {folder}, which is no folder"
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """What the cells of notebook 01 make of a tiny CenterNet."""
    from notebook01 import tiny_detector

    return tiny_detector(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def task(tmp_path):
    """A made-up task of notebook 01 on 12 images that need not exist, and detections on them."""
    from tiny_coco import random_world

    from qlab.detector.data import Parameters, Task
    from qlab.detector.detect import Size

    world, results = random_world(4, images=12)
    images = {i: tmp_path / f"{i}.png" for i in world.imgs}
    given = Parameters(profile="smoke")
    return Task(given, "m", "d", tmp_path, None, Size(64, 64), world, images, []), results
