"""auto-gptq works here and beside newer transformers and peft, and leaves nothing behind.

The newer ones are installed into a folder of their own under build/peers, in front of the locked
environment, which provides everything else.
"""

import json
from pathlib import Path

import peft
import pytest
import side_packages
import tiny_llama
import torch
import transformers
from safetensors.torch import load_file
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from qlab.language import auto_gptq_compat, llama, methods, streaming

BITS = (8, 4, 3, 2)
PASSAGES = tiny_llama.PASSAGES
PAIRS = {
    "kaggle": ("transformers==5.9.0", "peft==0.19.1", "tokenizers==0.22.2"),
    "newest": ("transformers==5.23.0", "peft==0.21.2", "tokenizers==0.23.3"),
}
HUB = "huggingface_hub==1.33.0"
INITIALIZATION = auto_gptq_compat.INITIALIZATION
UNTOUCHED = [getattr(torch.nn.init, name) for name in INITIALIZATION]  # before auto-gptq loads


def quantize_all(source: Path, target: Path) -> None:
    """At each width: quantize with plain auto-gptq, save, load, generate; stream at 4 bits.

    Writes the folders `auto_gptq_<bits>` and `streamed`, and `said.json`: the tokens they continue
    a passage with and the versions used.
    """
    auto_gptq = auto_gptq_compat.load()
    from auto_gptq.modeling.llama import LlamaGPTQForCausalLM

    rows = [torch.tensor([p]) for p in PASSAGES]
    said = {"versions": (transformers.__version__, peft.__version__)}
    for bits in BITS:
        settings = auto_gptq.BaseQuantizeConfig(bits=bits, group_size=64, desc_act=False)
        model = LlamaGPTQForCausalLM(llama.load(source), False, settings)
        with auto_gptq_compat.quantizing():
            model.quantize([{"input_ids": r, "attention_mask": torch.ones_like(r)} for r in rows])
        folder = target / f"auto_gptq_{bits}"
        model.save_quantized(str(folder))
        said[bits] = continued(folder)
    streaming.quantize_folder(source, methods.method("gptq_w4_g64"), PASSAGES, target / "streamed")
    said["streamed"] = continued(target / "streamed")
    (target / "said.json").write_text(json.dumps(said))


def continued(folder: Path) -> list[int]:
    """8 more tokens after a passage."""
    model = auto_gptq_compat.from_quantized(folder).model
    tokens = torch.tensor([PASSAGES[4]])
    mask = torch.ones_like(tokens)
    return model.generate(
        tokens, attention_mask=mask, max_new_tokens=8, do_sample=False, pad_token_id=0
    )[0].tolist()


@pytest.fixture(scope="module")
def here(source, tmp_path_factory) -> Path:
    """What the locked environment makes of the source."""
    folder = tmp_path_factory.mktemp("here")
    quantize_all(source, folder)
    return folder


def packed(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of the folder's safetensors files, whose names auto-gptq chooses."""
    return {k: v for path in folder.glob("*.safetensors") for k, v in load_file(path).items()}


def test_what_was_streamed_continues_as_what_auto_gptq_made(here):
    said = json.loads((here / "said.json").read_text())
    assert said["streamed"] == said["4"]
    assert len({tuple(said[str(bits)]) for bits in BITS}) > 1  # the width is heard


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_newer_libraries_pack_the_same_bytes_and_say_the_same(name, source, here, tmp_path):
    code = (
        f"import sys; sys.path.append({str(Path(__file__).parent)!r});"
        "import test_auto_gptq_compat as t; from pathlib import Path;"
        f"t.quantize_all(Path({str(source)!r}), Path({str(tmp_path)!r}))"
    )
    done = side_packages.run_with(side_packages.installed(*PAIRS[name], HUB), code)
    assert done.returncode == 0, done.stderr
    said, expected = (json.loads((f / "said.json").read_text()) for f in (tmp_path, here))
    found = [f"{p}=={v}" for p, v in zip(("transformers", "peft"), said["versions"], strict=True)]
    assert tuple(found) == PAIRS[name][:2]
    assert said.keys() == expected.keys()
    for key in [*map(str, BITS), "streamed"]:
        assert said[key] == expected[key], key
    for folder in [*(f"auto_gptq_{b}" for b in BITS), "streamed"]:
        theirs, ours = packed(tmp_path / folder), packed(here / folder)
        assert theirs.keys() == ours.keys() and any(n.endswith("qweight") for n in ours)
        for tensor in ours:
            assert torch.equal(theirs[tensor], ours[tensor]), (folder, tensor)


def test_nothing_is_left_behind(here):
    """auto-gptq replaces PyTorch's initialization and never gives it back; and our own loans."""
    synchronize, forward = torch.cuda.synchronize, LlamaDecoderLayer.forward
    with auto_gptq_compat.quantizing():
        torch.cuda.synchronize()  # raises without CUDA, unless made harmless
        assert LlamaDecoderLayer.forward is not forward
    auto_gptq_compat.from_quantized(here / "auto_gptq_4")
    assert [getattr(torch.nn.init, name) for name in INITIALIZATION] == UNTOUCHED
    assert transformers.modeling_utils._init_weights is True
    assert (torch.cuda.synchronize, LlamaDecoderLayer.forward) == (synchronize, forward)


def test_import_says_nothing_and_lends_nothing_for_good():
    """In a fresh process, with the names that newer versions lack taken away."""
    code = """
import transformers.utils.hub as hub, transformers.modeling_utils as modeling
import peft.peft_model as peft_model
peft_model.PEFT_TYPE_TO_TUNER_MAPPING = peft_model.PEFT_TYPE_TO_MODEL_MAPPING
taken = [(hub, "create_commit"), (hub, "cached_file"), (peft_model, "PEFT_TYPE_TO_MODEL_MAPPING")]
for owner, name in taken:
    delattr(owner, name)
from qlab.language import auto_gptq_compat
auto_gptq_compat.load()
assert not [name for owner, name in taken if hasattr(owner, name)]
"""
    done = side_packages.run_with(None, code)
    assert done.returncode == 0, done.stderr
    assert "CUDA extension" not in done.stderr + done.stdout
