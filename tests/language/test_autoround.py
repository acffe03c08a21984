"""AutoRound on a tiny Llama: what it writes, that it writes the same again, that it is worth it."""

import subprocess
import sys
from types import SimpleNamespace

import cloudpickle
import pytest
import tiny_llama
import torch

from qlab.core import cache
from qlab.core.errors import QlabError
from qlab.language import autoround, configuration, decoder, streaming
from qlab.language.gptq import RoundToNearest

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def rounder(model, tokenizer, rows, bits, group_size, iterations):
    """As notebook 02 calls the library."""
    from auto_round import AutoRound, QuantizationScheme, SignRoundConfig

    return AutoRound(
        model, tokenizer, scheme=QuantizationScheme(bits=bits, group_size=group_size, sym=True),
        alg_configs=SignRoundConfig(iters=iterations), dataset=rows, nsamples=len(rows),
        seqlen=rows[0].shape[1], batch_size=8, device_map="cpu", seed=3, amp=True,
        enable_torch_compile=False,
    )  # fmt: skip


def passages(count, seed, length=24):
    """Random token ids; lengths differ, as those of real passages do."""
    random = torch.Generator().manual_seed(seed)
    return [
        torch.randint(0, 96, (length - i % 5,), generator=random).tolist() for i in range(count)
    ]


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    """The tiny Llama, stored in bfloat16."""
    target = tmp_path_factory.mktemp("float")
    decoder.load(source, "bfloat16").save_pretrained(target)
    tiny_llama.write_tokenizer(target, 260)
    return target


@pytest.fixture(scope="module")
def quantized(folder, tmp_path_factory):
    """What AutoRound makes of it, twice."""
    place = tmp_path_factory.mktemp("autoround")
    choice = SimpleNamespace(dtype="bfloat16", device="cpu")
    task = SimpleNamespace(folder=folder, choice=choice, calibration_tokens=passages(16, 1))
    method = autoround.AutoRound(2, 64, rounder, iterations=30)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # as a notebook's functions are
    for name in ("first", "second"):
        (place / name).mkdir()
        method.make(task, place / name, **method.settings)
    return place


@pytest.mark.slow
def test_the_same_arguments_give_the_same_bytes(quantized):
    files = [path.name for path in (quantized / "first").iterdir()]
    assert "model.safetensors" in files and all((quantized / "first" / f).is_file() for f in files)
    for name in files:
        one, two = (cache.file_sha256(quantized / place / name) for place in ("first", "second"))
        assert one == two, name


@pytest.mark.slow
def test_the_folder_holds_gptq_layers_and_everything_else_as_it_was(folder, quantized):
    made = quantized / "first"
    before, after = tiny_llama.stored(folder), tiny_llama.stored(made)
    linears = {f"{name}.weight" for name in decoder.shapes(configuration.read(folder))}
    for name in set(before) - linears:
        kept = after[HEAD if name == EMBEDDING else name]
        assert torch.equal(before[name], kept) and before[name].dtype == kept.dtype
    assert not (linears | {EMBEDDING}) & set(after)
    scales = after["model.layers.0.mlp.down_proj.scales"]
    assert scales.shape == (3, 64) and scales.dtype == torch.float16
    assert {path.name for path in folder.glob("*token*")} <= {p.name for p in made.iterdir()}


@pytest.mark.slow
def test_less_error_than_rounding_to_nearest(folder, quantized, made):
    rounded = made(RoundToNearest(2, 64), of=folder)
    places = (folder, rounded, quantized / "first")
    models = [streaming.load_dense(place) for place in places]
    models.append(streaming.load_packed(quantized / "first"))
    dense, rounded, learned, packed = (
        torch.cat([tiny_llama.logits(model, p) for p in passages(8, 2)]) for model in models
    )
    assert (learned - dense).norm() < 0.95 * (rounded - dense).norm()
    torch.testing.assert_close(packed, learned)


def test_rows_are_of_one_length():
    assert autoround.rows([[1, 2, 3], [4, 5], [6, 7]]) == [[1, 2, 3], [4, 5, 6]]
    with pytest.raises(QlabError, match="None of 2 calibration passages has two tokens"):
        autoround.rows([[1], [2]])


def test_its_process_ends_with_whoever_started_it(source):
    """As when a notebook is killed while the library tunes: here it sleeps instead."""

    def sleeps(*_, **__):
        import sys
        import time

        print("tunes", file=sys.stderr, flush=True)
        time.sleep(300)

    work = (sleeps, (source, "float32", [[1, 2]], source / "none"), {}, 1)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-m", "qlab.language.autoround"], **pipes)
    process.stdin.write(cloudpickle.dumps(work))
    process.stdin.flush()
    assert b"tunes\n" in iter(process.stderr.readline, b"")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)  # it works as long as the other end is there
    process.stdin.close()
    assert process.wait(60) == 1
    process.stderr.close()


def test_packed_weights_that_read_back_otherwise_are_refused(source, made, tmp_path):
    folder, name = made(RoundToNearest(2, 64)), "model.layers.1.mlp.up_proj"
    dense, target = streaming.load_dense(folder), tmp_path / "written"
    layers = decoder.shapes(configuration.read(source))
    meant = {n: dense.get_submodule(n).weight.detach().clone() for n in layers}
    settings = {"bits": 2, "group_size": 64}
    target.mkdir()
    autoround._write(source, target, configuration.Weights(folder), meant, settings)
    again = streaming.load_dense(target).get_submodule(name).weight
    assert torch.equal(again, dense.get_submodule(name).weight)
    meant[name][5, 7] += 0.1
    with pytest.raises(QlabError, match="up_proj, packed by auto-round: 1 of 12288 weights"):
        autoround._write(source, target, configuration.Weights(folder), meant, settings)
