"""What `make sweep` runs and leaves alone, what becomes of points that fail, what is refused."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import toy_sweep
import yaml
from toy_sweep import ROOT, make, orders, ran

from qlab.core import places, records
from qlab.core.errors import QlabError
from qlab.core.records import Record
from qlab.run import sweep, sweep_merge, sweep_point

ALL = ["float", "rtn_w2_g64", "rtn_w4_g64"]
TABLE = Path("data/results/smoke-sweep-toy/llama_gptq.csv")
DESCRIBED = yaml.safe_load((ROOT / "workflow" / "sweeps.yaml").read_text())


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """The toy's modules stand before the installed ones; nothing set outside leaks in."""
    monkeypatch.setenv("PYTHONPATH", "src")
    for name in ("QLAB_HOME", "MAKEFLAGS", "MAKELEVEL", "SWEEP", "SWEEP_PROFILE", "ARGS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The toy project after its first `make sweep`."""
    project = toy_sweep.project(tmp_path_factory.mktemp("finished") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", "src")
        patch.delenv("QLAB_HOME", raising=False)
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


def changed(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def test_the_table_is_the_union_of_the_points(finished):
    points = sorted(finished.glob("build/sweep/llama_gptq/smoke/*.csv"))
    union = pd.concat([records.read_file(point) for point in points], ignore_index=True)
    assert len(union) == 3
    pd.testing.assert_frame_equal(table(finished), union, check_like=True)
    origin = told(finished)
    assert origin["failed"] == {}
    assert [len(group["what"]) for group in origin["merged_from"]] == [3]


def test_nothing_runs_twice_nor_after_a_mere_touch(project):
    for file in project.glob("src/qlab/*.py"):
        file.touch()
    before = (project / TABLE).stat().st_mtime_ns
    assert make(project).returncode == 0
    assert ran(project) == []
    assert (project / TABLE).stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "edited, expected",
    [("src/qlab/toy_deep.py", ALL), ("src/qlab/toy_other.py", []), ("requirements.lock", ALL)],
)
def test_a_change_reruns_the_points_that_depend_on_it(project, edited, expected):
    (project / edited).write_text("changed = True\n")
    assert make(project).returncode == 0
    assert ran(project) == expected


def test_a_longer_axis_runs_only_the_new_points_and_a_shorter_one_none(project):
    changed(project / "workflow" / "sweeps.yaml", "bits: [4, 2]", "bits: [8, 2]")
    assert make(project).returncode == 0
    assert ran(project) == ["rtn_w8_g64"]
    assert list(table(project)["variant"]) == ["float", "rtn_w2_g64", "rtn_w8_g64"]
    changed(project / "workflow" / "sweeps.yaml", "bits: [8, 2]", "bits: [2]")
    assert make(project).returncode == 0
    assert ran(project) == []
    assert list(table(project)["variant"]) == ["float", "rtn_w2_g64"]


@pytest.mark.slow
def test_failed_points_are_records_and_alone_run_again(project):
    (project / "src" / "qlab" / "toy_deep.py").write_text("changed = True\n")
    orders(project, float="nan", rtn_w4_g64="kill", rtn_w2_g64="refuse")
    done = make(project)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("0 of 3 points measured; these failed")
    assert ran(project) == sorted([*ALL, "rtn_w4_g64"])  # a killed one is started again
    found = table(project)
    assert list(found["metric"]) == [sweep_point.FAILED] * 3
    reasons = told(project)["failed"]
    assert "'value' must be finite" in reasons["m-float"]
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
    assert make(project).returncode == 0
    assert ran(project) == []


def entry(**changes) -> dict:
    axes = {"method": ["rtn"], "bits": [4], "group": [64], "model": ["m"], "seed": [0]}
    axes |= changes.pop("axes", {})
    return {"experiment": "llama_gptq", "profile": "smoke", "axes": axes} | changes


@pytest.mark.parametrize(
    "described, sentence",
    [
        (entry(axes={"bit": [4]}), r"the axis 'bit', which is unknown \(did you mean bits\?\)"),
        (entry(axes={"bits": [5]}), "'bits' takes one of 8, 4, 3, 2; got 5"),
        (entry(axes={"bits": [4.0]}), "got 4.0"),
        (entry(axes={"seed": [True]}), "got True"),
        (entry(axes={"seed": [-1]}), "'seed' takes a whole number from 0 on; got -1"),
        (entry(axes={"group": []}), "'group' must be a list of one value or more"),
        (entry(axes={"bits": 4}), "'bits' must be a list"),
        (entry(axes={"bits": [4, 2, 4]}), "the axis 'bits' has 4 twice"),
        (entry(axes={"model": ["a/b", "a_b"]}), "two points named 'a_b-float'"),
        (entry(axes={"model": [" "]}), "'model' takes a name or path"),
        (entry(experiment="llama"), "the experiment is one of llama_gptq, resnet_qat; got 'llama'"),
        (entry(profile="big"), "the profile is one of smoke, mini, full; got 'big'"),
        (entry(axis={}), r"the field 'axis', which is unknown \(did you mean axes\?\)"),
        (entry(resources={"memory": 1}), "the resource 'memory', which is unknown"),
        ({"experiment": "resnet_qat", "axes": {"k": [1]}}, "lacks the axis 'method'"),
        (None, "must say `experiment`, `profile` and, by name, its `axes`"),
    ],
)
def test_a_bad_description_is_refused_in_a_sentence(described, sentence):
    with pytest.raises(QlabError, match=sentence):
        sweep.sweep("s", described)


def test_what_is_refused_starts_nothing(project):
    changed(project / "workflow" / "sweeps.yaml", "bits: [4, 2]", "bits: [4, 5]")
    done = make(project)
    assert done.returncode != 0
    assert "The sweep 'toy': the axis 'bits' takes one of 8, 4, 3, 2; got 5." in done.stderr
    assert ran(project) == []
    absent = make(project, "SWEEP=absent")
    assert "has no sweep 'absent'; it has toy" in absent.stderr


def test_axes_that_a_method_does_not_have_make_no_points():
    found = sweep.sweep("s", entry(axes={"method": ["rtn", "gptq"], "seed": [0, 1]}))
    assert list(found.points) == [
        "m-float", "m-rtn_w4_g64", "m-gptq_w4_g64-seed0", "m-gptq_w4_g64-seed1",
    ]  # fmt: skip


@pytest.mark.parametrize("name", DESCRIBED)
def test_a_described_sweep_is_one_and_its_points_are_read_back_from_their_command(name):
    found = sweep.sweep(name, DESCRIBED[name])
    for values in found.points.values():
        given = [f"{axis}={value}" for axis, value in values.items()]
        assert sweep_point.parsed(found.experiment, given) == values


@pytest.mark.parametrize(
    "experiment, given, sentence",
    [
        ("claims", ["method=rtn"], "'claims' cannot be swept"),
        ("llama_gptq", ["method=rtn", "bit=4"], "got 'bit'"),
        ("llama_gptq", ["method=rtn", "bits=four"], "got 'four'"),
        ("llama_gptq", ["method=rtn", "bits=4", "model=m"], "takes method, bits, group, model"),
        ("llama_gptq", ["method=float", "model=m", "seed=1"], "takes method, model; got"),
    ],
)
def test_a_bad_point_is_refused_in_a_sentence(experiment, given, sentence):
    with pytest.raises(QlabError, match=sentence):
        sweep_point.parsed(experiment, given)


def test_the_axes_are_those_that_the_experiments_have():
    from qlab.classifier import partial_qat
    from qlab.language import gptq

    axes = sweep.STUDIES["llama_gptq"].axes
    grid = {f"{m}_w{b}_g{g}" for m in axes["method"] for b in axes["bits"] for g in axes["group"]}
    assert grid == set(gptq.METHODS)
    axes = sweep.STUDIES["resnet_qat"].axes
    assert (axes["where"], axes["bits"]) == (partial_qat.WHERE, partial_qat.BITS)
    values = {"method": "qat", "where": "only", "k": 12, "bits": 4}
    name = sweep.variant(sweep.STUDIES["resnet_qat"], values)
    metrics = ("accuracy_difference", "size_bytes", "quantized_share")
    made = [Record("resnet_qat", "m", "d", name, metric, 0.5, "1", 0.4, 0.6) for metric in metrics]
    [point] = places.points_table(records.as_table(made)).to_dict("records")
    assert {axis: point[axis] for axis in values} == values


def write_point(folder: Path, name: str, variant: str, commit: str = "c") -> None:
    one = Record("llama_gptq", "m", "d", variant, "acc", 0.5, "1", n=10)
    origin = {"commit": commit, "hardware": {}, "versions": {}, "duration_s": 2.0, "inputs": {},
              "parameters": {"model": "m"}}  # fmt: skip
    records.write_to(folder / f"{name}.csv", records.as_table([one]), origin)


def merged(folder: Path, bits: list[int]) -> Path:
    target = folder / "merged.csv"
    sweep_merge.merge(sweep.sweep("s", entry(axes={"bits": bits})), folder, target)
    return target


def test_the_order_of_points_does_not_matter(tmp_path):
    for name in ("float", "rtn_w4_g64", "rtn_w2_g64"):
        write_point(tmp_path, f"m-{name}", name, "other" if name == "float" else "c")
    first = merged(tmp_path, [2, 4]).read_bytes()
    assert merged(tmp_path, [4, 2]).read_bytes() == first
    origin = json.loads((tmp_path / "merged.provenance.json").read_text())
    groups = {group["commit"]: group["what"] for group in origin["merged_from"]}
    assert groups == {"other": ["m-float"], "c": ["m-rtn_w2_g64", "m-rtn_w4_g64"]}
    assert origin["duration_s"] == 6


def test_one_number_from_two_points_is_refused_and_the_old_table_kept(tmp_path):
    for name in ("float", "rtn_w4_g64"):
        write_point(tmp_path, f"m-{name}", name)
    before = merged(tmp_path, [4]).read_bytes()
    write_point(tmp_path, "m-float", "rtn_w4_g64")
    with pytest.raises(QlabError, match="is recorded twice"):
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


def test_an_unknown_setting_of_a_profile_is_an_error(project):
    with (project / "workflow" / "profiles" / "slurm" / "config.yaml").open("a") as file:
        file.write("slurm-requeues: true\n")
    done = make(project, "SWEEP_PROFILE=slurm", "ARGS=--dry-run")
    assert done.returncode != 0
    assert "slurm-requeues" in done.stderr
