"""What `make sweep` runs and leaves alone, what becomes of points that fail, what is refused."""

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import toy_sweep
import yaml
from toy_sweep import ROOT, make, orders, ran

from qlab.core import records
from qlab.core.errors import QlabError
from qlab.core.records import Record

sys.path.insert(0, str(ROOT / "workflow"))
import sweep  # noqa: E402

ALL = ["float", "rtn_w2_g64", "rtn_w4_g64"]
TABLE = Path("data/results/smoke-sweep-toy/llama_gptq.csv")
DESCRIBED = yaml.safe_load((ROOT / "workflow" / "sweeps.yaml").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The toy project after its first `make sweep`."""
    project = toy_sweep.project(tmp_path_factory.mktemp("finished") / "project")
    done = make(project)
    assert done.returncode == 0, done.stderr
    assert ran(project) == ALL
    return project


@pytest.fixture
def project(finished, tmp_path) -> Path:
    """A project of one's own in which everything is up to date."""
    return shutil.copytree(finished, tmp_path / "my project", symlinks=True)


def table(project: Path) -> pd.DataFrame:
    return records.read_file(project / TABLE)


def told(project: Path) -> dict:
    return json.loads(records.provenance_path(project / TABLE).read_text())


def test_the_table_is_the_union_of_the_points_and_a_mere_touch_runs_none(finished):
    points = sorted(finished.glob("build/sweep/llama_gptq/smoke/*.csv"))
    union = pd.concat([records.read_file(point) for point in points], ignore_index=True)
    assert len(union) == 3
    pd.testing.assert_frame_equal(table(finished), union, check_like=True)
    assert told(finished)["failed"] == {}
    for file in finished.rglob("src/qlab/**/*.py"):
        file.touch()
    before = (finished / TABLE).stat().st_mtime_ns
    assert make(finished).returncode == 0
    assert (ran(finished), (finished / TABLE).stat().st_mtime_ns) == ([], before)


def changed(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def test_only_points_that_are_new_or_depend_on_a_change_run(project):
    for edited, expected in (("toy_other", []), ("toy_deep", ALL)):
        (project / f"src/qlab/language/{edited}.py").write_text("changed = True\n")
        assert make(project).returncode == 0
        assert ran(project) == expected
    for before, after, expected in (("4, 2", "8, 2", ["rtn_w8_g64"]), ("8, 2", "2", [])):
        changed(project / "workflow" / "sweeps.yaml", f"bits: [{before}]", f"bits: [{after}]")
        assert make(project).returncode == 0
        assert ran(project) == expected
    assert list(table(project)["variant"]) == ["float", "rtn_w2_g64"]


@pytest.mark.slow
def test_failed_points_are_records_and_alone_run_again(project):
    (project / "src" / "qlab" / "language" / "toy_deep.py").write_text("changed = True\n")
    orders(project, float="nan", rtn_w4_g64="kill", rtn_w2_g64="refuse")
    done = make(project)
    assert done.returncode == 0, done.stderr
    assert ran(project) == sorted([*ALL, "rtn_w4_g64"])  # a killed one is started again
    found = table(project)
    assert list(found["metric"]) == [sweep.FAILED] * 3
    reasons = told(project)["failed"]
    assert "column 'value' must not be empty" in reasons["m-float"]
    assert reasons["m-rtn_w2_g64"] == "It did not like it."
    assert reasons["m-rtn_w4_g64"].startswith("killed 2 times")

    orders(project, rtn_w2_g64="memory")
    assert make(project).returncode == 0
    assert told(project)["failed"] == {"m-rtn_w2_g64": "MemoryError: 3 GB"}
    assert sorted(table(project)["metric"]) == ["acc", "acc", "failed"]

    orders(project)
    assert make(project).returncode == 0
    assert ran(project) == ["rtn_w2_g64"]
    assert list(table(project)["metric"]) == ["acc"] * 3


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
    for name, described in DESCRIBED.items():
        found = sweep.sweep(name, described)
        for point in found.points.values():
            given = [f"{axis}={value}" for axis, value in point.model_dump().items()]
            assert sweep.parsed(found.experiment, given) == point


def write_point(folder: Path, name: str, variant: str, commit: str = "c") -> None:
    one = Record("llama_gptq", "m", "d", variant, "acc", 0.5, "1", n=10)
    origin = {"hardware": {}, "versions": {}, "inputs": {}, "parameters": {"model": "m"}}
    origin |= {"commit": commit, "duration_s": 2.0}
    records.write_to(folder / f"{name}.csv", records.as_table([one]), origin)


def merged(folder: Path, bits: list[int]) -> bytes:
    sweep.merge(sweep.sweep("s", entry(bits=bits)), folder, folder / "merged.csv")
    return (folder / "merged.csv").read_bytes()


def test_the_order_of_points_does_not_matter_and_a_number_from_two_is_refused(tmp_path):
    for name in ("float", "rtn_w4_g64", "rtn_w2_g64"):
        write_point(tmp_path, f"m-{name}", name, "other" if name == "float" else "c")
    before = merged(tmp_path, [2, 4])
    assert merged(tmp_path, [4, 2]) == before
    origin = json.loads((tmp_path / "merged.provenance.json").read_text())
    groups = {group["commit"]: group["what"] for group in origin["merged_from"]}
    assert groups == {"other": ["m-float"], "c": ["m-rtn_w2_g64", "m-rtn_w4_g64"]}
    assert origin["duration_s"] == 6
    write_point(tmp_path, "m-float", "rtn_w4_g64")
    with pytest.raises(QlabError, match="must not be there twice"):
        merged(tmp_path, [4])
    with pytest.raises(QlabError, match=r"not merged: .*m-rtn_w3_g64.csv is missing"):
        merged(tmp_path, [3])
    assert (tmp_path / "merged.csv").read_bytes() == before


@pytest.mark.parametrize("profile", ["local", "slurm", "kubernetes"])
def test_snakemake_and_its_plugins_take_every_profile(project, profile):
    changed(project / "workflow" / "sweeps.yaml", "bits: [4, 2]", "bits: [4, 3]")
    done = make(project, f"SWEEP_PROFILE={profile}", "ARGS=--dry-run")
    assert done.returncode == 0, done.stderr
    assert "m-rtn_w3_g64" in done.stdout + done.stderr
    assert ran(project) == []
