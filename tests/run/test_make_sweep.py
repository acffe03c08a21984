"""What `make sweep` runs, leaves alone, makes of failures: a toy's points do as `orders` says."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT
from toy_project import make, ran, written

from qlab.core import records
from qlab.core.errors import QlabError

sys.path.insert(0, str(ROOT / "workflow"))
import sweep  # noqa: E402

SWEEPS = """
toy:
  experiment: llama_gptq
  profile: smoke
  axes: {method: [rtn], bits: [4, 2], group: [64], model: [m], seed: [0]}
  resources: {mem_mb: 100, runtime: 5}
"""
MEASURE = """
import json, os, signal
from pathlib import Path
from types import SimpleNamespace

from qlab.core.records import Record


def measure(point, profile, threads):
    from qlab.language import toy_deep

    name = point.variant
    with open("log", "a") as log:
        print(name, file=log)
    order = json.loads(Path("orders").read_text()).get(name, "")
    if order == "memory":
        raise MemoryError("3 GB")
    if order == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    value = float("nan") if order == "nan" else float(getattr(point, "bits", 32))
    task = SimpleNamespace(settings=lambda: {"model": "m"}, inputs=lambda: {"model": "0"})
    return task, [Record("llama_gptq", point.model, "d", name, "acc", value, "1")], []
"""
ALL = ["float", "rtn_w2_g64", "rtn_w4_g64"]
TABLE = Path("data/results/smoke-sweep-toy/llama_gptq.csv")
DESCRIBED = Path("workflow/sweeps.yaml")


def orders(project: Path, **by_variant: str) -> None:
    (project / "orders").write_text(json.dumps(by_variant))


def swept(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    done = make(project, "sweep", "SWEEP=toy", *arguments)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The toy project after its first `make sweep`."""
    # What can be swept is the real room's; only measuring is not.
    point = (ROOT / "workflow" / "swept" / "llama_gptq.py").read_text()
    files = {f"src/qlab/language/{n}.py": "" for n in ("__init__", "toy_deep", "toy_other")}
    files |= {"workflow/swept/llama_gptq.py": point.partition("def measure")[0] + MEASURE}
    files |= {"workflow/swept/point.py": (ROOT / "workflow" / "swept" / "point.py").read_text()}
    files |= {str(DESCRIBED): SWEEPS, "data/mini_lambada/test.jsonl": ""}
    files |= {"data/models/llama_mini/weights": ""}
    real = ["src/qlab/run", "src/qlab/__main__.py"]
    real += [f"workflow/{name}" for name in ("profiles", "sweep.smk", "sweep.py")]
    project = written(tmp_path_factory.mktemp("finished") / "project", files, real)
    orders(project)
    swept(project)
    assert ran(project) == ALL
    return project


@pytest.fixture
def project(finished, tmp_path) -> Path:
    """A project of one's own in which everything is up to date."""
    return shutil.copytree(finished, tmp_path / "my project", symlinks=True)


def failed(project: Path) -> dict:
    return json.loads(records.provenance_path(project / TABLE).read_text())["failed"]


def test_the_table_is_the_union_of_the_points_and_a_mere_touch_runs_none(finished):
    points = sorted(finished.glob("build/sweep/llama_gptq/smoke/*.csv"))
    union = pd.concat([records.read_file(point) for point in points], ignore_index=True)
    assert len(union) == 3 and failed(finished) == {}
    pd.testing.assert_frame_equal(records.read_file(finished / TABLE), union, check_like=True)
    for file in finished.rglob("src/qlab/**/*.py"):
        file.touch()
    before = (finished / TABLE).stat().st_mtime_ns
    swept(finished)
    assert (ran(finished), (finished / TABLE).stat().st_mtime_ns) == ([], before)


def test_only_points_that_are_new_or_depend_on_a_change_run(project):
    two = ["float", "rtn_w2_g64"]
    room, point = "src/qlab/language", "workflow/swept/llama_gptq.py"
    (project / "data" / "other.yaml").write_text("beside what a point reads: no part of it")
    for bits, edited, expected in (
        ("8, 2", f"{room}/toy_other.py", ["rtn_w8_g64"]),
        ("2", f"{room}/toy_deep.py", two),
        ("2", f"{room}/metrics.yaml", two),
        ("2", point, two),
    ):
        (project / DESCRIBED).write_text(SWEEPS.replace("4, 2", bits))
        with (project / edited).open("a") as file:
            file.write("\n# changed\n")
        swept(project)
        assert ran(project) == expected
    assert list(records.read_file(project / TABLE)["variant"]) == two


@pytest.mark.slow
def test_failed_points_are_records_and_alone_run_again(project):
    (project / "src" / "qlab" / "language" / "toy_deep.py").write_text("changed = True\n")
    orders(project, float="nan", rtn_w4_g64="kill")
    swept(project)
    assert ran(project) == sorted([*ALL, "rtn_w4_g64"])  # a killed one is started again
    told = sorted(records.read_file(project / TABLE)["metric"])
    assert told == ["acc", sweep.FAILED, sweep.FAILED]
    reasons = failed(project)
    assert "column 'value' must not be empty" in reasons["m-float"]
    assert reasons["m-rtn_w4_g64"].startswith("killed 2 times")
    orders(project, rtn_w4_g64="memory")
    swept(project)
    assert ran(project) == ["float", "rtn_w4_g64"]
    assert failed(project) == {"m-rtn_w4_g64": "MemoryError: 3 GB"}
    assert sorted(records.read_file(project / TABLE)["metric"]) == ["acc", "acc", sweep.FAILED]


@pytest.mark.parametrize("profile", ["slurm", "kubernetes"])
def test_snakemake_and_its_plugins_take_every_profile(project, profile):
    (project / DESCRIBED).write_text(SWEEPS.replace("4, 2", "4, 3"))
    done = swept(project, f"SWEEP_PROFILE={profile}", "ARGS=--dry-run")
    assert "m-rtn_w3_g64" in done.stdout + done.stderr
    assert ran(project) == []


def entry(**axes) -> dict:
    axes = {"method": ["rtn"], "bits": [4], "group": [64], "model": ["m"], "seed": [0]} | axes
    return {"experiment": "llama_gptq", "profile": "smoke", "axes": axes}


def test_axes_that_a_method_does_not_have_are_left_out_and_paths_are_short_hashes():
    found = sweep.sweep("s", entry(method=["rtn", "gptq"], seed=[0, 1])).points
    points = "m-float m-rtn_w4_g64 m-gptq_w4_g64-seed0 m-gptq_w4_g64-seed1"
    assert list(found) == points.split()
    found = sweep.sweep("s", entry(model=["/a/model", "/b/model", "org/model"])).points
    short = {name.removesuffix("-float") for name in found if name.endswith("-float")}
    assert len(short) == 3 and all(name.isalnum() and len(name) == 8 for name in short)


def test_described_sweeps_are_sweeps_and_points_are_read_back_from_their_command():
    for name, described in yaml.safe_load((ROOT / DESCRIBED).read_text()).items():
        found = sweep.sweep(name, described)
        for point in found.points.values():
            given = [f"{axis}={value}" for axis, value in point.model_dump().items()]
            assert sweep.parsed(found.experiment, given) == point


def test_the_order_of_points_does_not_matter_and_a_number_from_two_is_refused(finished, tmp_path):
    points = shutil.copytree(finished / "build/sweep/llama_gptq/smoke", tmp_path / "points")
    for name in ALL:
        file = points / f"m-{name}.provenance.json"
        told = {"commit": "other" if name == "float" else "c", "duration_s": 2.0}
        file.write_text(json.dumps(json.loads(file.read_text()) | told))

    def merged(*bits: int) -> bytes:
        sweep.merge(sweep.sweep("s", entry(bits=[*bits])), points, tmp_path / "merged.csv")
        return (tmp_path / "merged.csv").read_bytes()

    before = merged(2, 4)
    assert merged(4, 2) == before
    origin = json.loads((tmp_path / "merged.provenance.json").read_text())
    groups = {group["commit"]: group["what"] for group in origin["merged_from"]}
    assert groups == {"other": ["m-float"], "c": ["m-rtn_w2_g64", "m-rtn_w4_g64"]}
    assert origin["duration_s"] == 6
    shutil.copy(points / "m-rtn_w4_g64.csv", points / "m-float.csv")
    with pytest.raises(QlabError, match="must not be there twice"):
        merged(4)
    with pytest.raises(QlabError, match=r"not merged: .*m-rtn_w3_g64.csv is missing"):
        merged(3)
    assert (tmp_path / "merged.csv").read_bytes() == before
