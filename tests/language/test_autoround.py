"""AutoRound on a tiny Llama: what it writes, that it writes the same again, that it is worth it."""

import subprocess
import sys

import pytest
import tiny_llama
import torch

from qlab.core import cache
from qlab.core.errors import QlabError
from qlab.language import autoround, gptq, llama, streaming


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Llama of two layers with random weights, stored in bfloat16."""
    target = tmp_path_factory.mktemp("float")
    model = tiny_llama.write(target, hidden_size=64, intermediate_size=128)
    model.to(torch.bfloat16).save_pretrained(target)
    return target


def passages(count, seed, length=24):
    """Random token ids; lengths differ, as those of real passages do."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randint(0, 96, (length - i % 5,), generator=generator).tolist() for i in range(count)
    ]


@pytest.fixture(scope="module")
def quantized(folder, tmp_path_factory):
    """What AutoRound makes of it, twice, and the steps of the progress bar."""
    if not autoround.available():
        pytest.skip("auto-round is not installed")
    place, steps = tmp_path_factory.mktemp("autoround"), []
    more = {"iterations": 30, "seed": 3}
    more["progress"] = lambda items: (steps.append(i) or i for i in items)
    for name in ("first", "second"):
        autoround.autoround_folder(folder, passages(16, 1), place / name, **more)
    return place, steps


@pytest.mark.slow
def test_the_same_arguments_give_the_same_bytes(quantized):
    place, steps = quantized
    for path in (place / "first").iterdir():
        if path.name != "layers.json":  # it has the seconds
            twin = place / "second" / path.name
            assert cache.file_sha256(path) == cache.file_sha256(twin), path.name
    assert steps == [0, 1, 0, 1]


@pytest.mark.slow
def test_the_folder_holds_gptq_layers_and_everything_else_as_it_was(folder, quantized):
    made = quantized[0] / "first"
    before, after = tiny_llama.stored(folder), tiny_llama.stored(made)
    linears = {n for n in before if n.removesuffix(".weight").endswith(llama.LINEARS)}
    for name in set(before) - linears:
        kept = after[streaming.HEAD if name == streaming.EMBEDDING else name]
        assert torch.equal(before[name], kept) and before[name].dtype == kept.dtype
    assert not (linears | {streaming.EMBEDDING}) & set(after)
    scales = after["model.layers.0.mlp.down_proj.scales"]
    assert scales.shape == (2, 64) and scales.dtype == torch.float16
    assert {path.name for path in folder.glob("*token*")} <= {p.name for p in made.iterdir()}
    assert not (made / "export").exists()


@pytest.mark.slow
def test_less_error_than_rounding_to_nearest(folder, quantized, tmp_path):
    nearest = gptq.METHODS["rtn_w2_g64"]
    streaming.quantize_folder(folder, nearest, [], tmp_path / "rtn")
    tokens = torch.tensor(passages(40, 2)[::5])
    with torch.no_grad():
        dense, rounded, learned = (
            streaming.load_dense(place)(tokens).logits
            for place in (folder, tmp_path / "rtn", quantized[0] / "first")
        )
        packed = streaming.load_packed(quantized[0] / "first")(input_ids=tokens).logits
    assert (learned - dense).norm() < 0.95 * (rounded - dense).norm()
    assert (packed - learned).norm() < 0.01 * learned.norm()  # by plain auto-gptq


def test_its_process_ends_with_whoever_started_it():
    """As when a notebook is killed while the library tunes: here it sleeps instead."""
    code = """
import time
from qlab.language import autoround
import sys

def tuned(*_):
    print("tunes", file=sys.stderr, flush=True)
    time.sleep(300)

autoround._tuned = tuned
autoround.main()
"""
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", code], text=True, **pipes)
    process.stdin.write('{"folder": "a", "target": "b"}\n')
    process.stdin.flush()
    assert "tunes\n" in iter(process.stderr.readline, "")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)  # it works as long as the other end is there
    process.stdin.close()
    assert process.wait(60) == 1
    process.stderr.close()


def test_packed_weights_that_read_back_otherwise_are_refused(folder, tmp_path):
    nearest = gptq.METHODS["rtn_w2_g64"]
    streaming.quantize_folder(folder, nearest, [], tmp_path / "rtn")
    name = "model.layers.1.mlp.up_proj"
    packed = llama.Weights(tmp_path / "rtn")
    meant = streaming.load_dense(tmp_path / "rtn").get_submodule(name).weight.detach().clone()
    autoround._read(packed, name, meant, 2)
    meant[5, 7] += 0.1
    with pytest.raises(QlabError, match="up_proj, packed by auto-round: 1 of 8192 weights"):
        autoround._read(packed, name, meant, 2)
