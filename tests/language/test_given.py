"""What people have: a GGUF file; folders of GPTQ, AutoRound, bitsandbytes and AWQ."""

from functools import partial

import gguf
import numpy as np
import pytest
import tiny_llama
import torch
from auto_gptq.nn_modules.qlinear import qlinear_cuda
from safetensors.torch import save_file

from qlab.core.errors import QlabError
from qlab.language import build, checkpoint, decoder, lambada, scoring, streaming
from qlab.language.gptq import SUFFIXES, Gptq, RoundToNearest


@pytest.fixture
def prepare(home, tmp_path):
    texts = [f"On day {i} they met and said good {i}" for i in range(8)]
    return partial(tiny_llama.prepare, passages=tiny_llama.jsonl(tmp_path / "own.jsonl", texts))


def turned(name: str, weight: np.ndarray) -> np.ndarray:
    """Queries' and keys' rows as llama.cpp orders them: what rotates together side by side."""
    heads = {"attn_q.weight": 4, "attn_k.weight": 2}.get(name.split(".", 2)[-1])
    if heads is None:
        return weight
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(source, file, **flags) -> None:
    """The tiny Llama of a folder: matrices in Q8_0, norms in float32."""
    config, words = checkpoint.read_config(source), checkpoint.load_tokenizer(source)
    writer, kind = gguf.GGUFWriter(file, "llama"), gguf.GGMLQuantizationType.Q8_0
    tokens = words.convert_ids_to_tokens(range(260)) + ["ab", "cd"]
    told = {
        "block_count": 2, "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size, "feed_forward_length": config.intermediate_size,
        "head_count": 4, "head_count_kv": 2, "layer_norm_rms_eps": config.rms_norm_eps,
        "rope_freq_base": config.rope_theta, "vocab_size": config.vocab_size,
        "tokenizer_model": "gpt2", "token_list": tokens + [f"x{i}" for i in range(262, 300)],
        "token_types": [1] * 300, "token_merges": ["a b", "c d"],
        "bos_token_id": 256, "eos_token_id": 257, **flags,
    }  # fmt: skip
    for name, value in told.items():
        getattr(writer, f"add_{name}")(value)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    for ours, tensor in tiny_llama.stored(source).items():
        name = names.get_name(ours, [".weight"])
        weight = turned(name, tensor.numpy())
        if weight.ndim == 1:
            writer.add_tensor(name, weight)
        else:
            writer.add_tensor(name, gguf.quants.quantize(weight, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("flags", [{"add_bos_token": True}, {"add_bos_token": False}, {}])
def test_a_gguf_file_is_its_weights_and_begins_texts_as_it_says(prepare, tmp_path, flags):
    parent = tiny_llama.write(tmp_path / "source")
    write_gguf(tmp_path / "source", tmp_path / "mine.Q8_0.gguf", **flags)
    task = prepare(model=str(tmp_path / "mine.Q8_0.gguf"))
    assert task.model == "mine.Q8_0" and task.as_is is None
    assert "whose weights were stored as Q8_0, F32" in " ".join(task.notes)
    model, words = streaming.load_dense(task.folder), checkpoint.load_tokenizer(task.folder)
    for name, weight in parent.named_parameters():
        off = (model.get_parameter(name) - weight).abs().max() / weight.abs().max()
        assert off < 0.57 / 127 and (off > 0) == (weight.ndim > 1), name
    assert (model.config.num_key_value_heads, model.config.max_position_embeddings) == (2, 64)
    assert lambada.begins(words) == flags.get("add_bos_token", False)
    assert (words.bos_token_id, words.eos_token_id) == (256, 257)
    plain = checkpoint.load_tokenizer(tmp_path / "source")("so it was")["input_ids"]
    assert words("so it was", add_special_tokens=False)["input_ids"] == plain


def test_a_gguf_file_that_was_cut_is_one_sentence(home, tmp_path):
    tiny_llama.write(tmp_path)
    write_gguf(tmp_path, file := tmp_path / "m.gguf")
    for share in (0.9, 0.01, 0):
        file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
        with pytest.raises(QlabError, match=r"m\.gguf .*GGUF file"):
            checkpoint.from_gguf(file)


@pytest.mark.real_data
@pytest.mark.slow
def test_a_published_gguf_file(home, real_data):
    folder = checkpoint.from_gguf(real_data / "llm" / "SmolLM2-135M-Instruct.Q4_1.gguf")
    words = checkpoint.load_tokenizer(folder)
    assert not lambada.begins(words)
    assert len(words("in 1984")["input_ids"]) == 6  # digits one by one
    assert (folder.parent / checkpoint.KINDS).read_text() == "Q4_1, F32, Q8_0"


def test_a_gptq_folder_is_measured_as_it_is(prepare, source, made, tmp_path):
    folder = made(Gptq(4, 32))
    alone, beside = (prepare(model=str(folder), parent=named) for named in ("", str(source)))
    assert "(gptq, 4 bits): its weights turned into float32 ones are the parent" in alone.notes[1]
    assert "its parent is said to be" in beside.notes[1] and beside.folder == source
    expected = streaming.load_dense(folder)
    for task in (alone, beside):
        assert task.as_is == folder and task.model == folder.name
        variants = build.folders(task, {})
        assert list(variants) == ["fp32", "as_is"]
        assert variants["as_is"].about == {"method": "gptq", "bits": 4, "group_size": 32}
        found = build.evaluate(task, variants)
        wanted = scoring.score(expected, task.encoded)
        assert np.array_equal(found["as_is"].log_likelihood, wanted.log_likelihood)
        same = np.array_equal(found["fp32"].log_likelihood, wanted.log_likelihood)
        assert same == (task is alone) == (found["as_is"].divergence.max() < 1e-6)
    assert alone.parent != beside.parent
    tiny_llama.write(tmp_path / "narrow", hidden_size=32)
    for wrong in (folder, tmp_path / "narrow"):
        with pytest.raises(QlabError, match="is quantized itself, or its layers are not those"):
            prepare(model=str(folder), parent=str(wrong))


def test_columns_in_another_order_are_read_dense_and_not_multiplied(made):
    """As GPTQ with desc_act writes them: against auto-gptq's layer that knows that order."""
    folder, name = made(Gptq(4, 32)), "model.layers.0.mlp.up_proj"
    tensors = tiny_llama.stored(folder)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    tensors[f"{name}.g_idx"] = tensors[f"{name}.g_idx"][order].contiguous()
    tiny_llama.rewrite(folder, tensors)
    theirs = qlinear_cuda.QuantLinear(4, 32, 64, 192, bias=False)
    theirs.load_state_dict({end: tensors[f"{name}.{end}"] for end in SUFFIXES})
    theirs.scales = theirs.scales.float()
    dense = streaming.load_dense(folder).get_submodule(name).weight
    torch.testing.assert_close(theirs(torch.eye(64)).t(), dense, rtol=1e-5, atol=1e-6)
    with pytest.raises(QlabError, match=r"up_proj has its columns in another order \(desc_act\)"):
        streaming.load_packed(folder)


def awq_packed(numbers: torch.Tensor) -> torch.Tensor:
    """int32 [rows, n] of numbers of 4 bits [rows, 8 n], as AutoAWQ's `WQLinear_GEMM` packs them."""
    columns = (0, 2, 4, 6, 1, 3, 5, 7)
    return sum(numbers[:, c::8].int() << (4 * i) for i, c in enumerate(columns)).int()


def test_awq_is_read_as_dense_weights(prepare, source, tmp_path):
    random, tensors, wanted = torch.Generator().manual_seed(0), tiny_llama.stored(source), {}
    for name, (rows, columns) in decoder.shapes(checkpoint.read_config(source)).items():
        levels = torch.randint(0, 16, (columns, rows), generator=random)
        zeros = torch.randint(0, 16, (columns // 32, rows), generator=random)
        scales = torch.rand(columns // 32, rows, generator=random).half() * 0.1
        wide = [part.repeat_interleave(32, 0) for part in (zeros, scales.float())]
        wanted[name] = ((levels - wide[0]) * wide[1]).t()
        parts = {"qweight": awq_packed(levels), "qzeros": awq_packed(zeros), "scales": scales}
        del tensors[f"{name}.weight"]
        tensors |= {f"{name}.{end}": part for end, part in parts.items()}
    save_file(tensors, tmp_path / "model.safetensors")
    settings = {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm"}
    streaming.write_beside(source, tmp_path, settings)
    task = prepare(model=str(tmp_path))
    model = streaming.load_dense(task.as_is)
    for name, weight in wanted.items():
        torch.testing.assert_close(model.get_submodule(name).weight, weight, rtol=1e-6, atol=0)
    assert build.folders(task, {})["as_is"].about["method"] == "awq"
    with pytest.raises(QlabError, match="No kernel here"):
        streaming.load_packed(task.as_is)


def test_formats_that_are_not_read_are_refused_and_autorounds_own_is(source, tmp_path):
    four = {"bits": 4, "group_size": 64}
    for settings in (
        {"quant_method": "hqq"},
        {"quant_method": "gptq", "checkpoint_format": "gptq_v2", **four},
        {"quant_method": "auto-round", "packing_format": "auto_round:gptqmodel", **four},
        {"quant_method": "awq", "bits": 4, "version": "gemv"},
    ):
        streaming.write_beside(source, tmp_path, settings)
        with pytest.raises(QlabError, match="not read"):
            streaming.stored(tmp_path)
    its = {"quant_method": "auto-round", "packing_format": "auto_round:auto_gptq", **four}
    streaming.write_beside(source, tmp_path, its)
    found = streaming.stored(tmp_path)
    assert isinstance(found, RoundToNearest) and found.settings() == {"kind": "autoround", **four}
