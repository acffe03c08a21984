"""auto-gptq works here and beside newer transformers and peft, and leaves nothing behind."""

from pathlib import Path

import pytest
import side_packages
import tiny_llama
import torch
from safetensors.torch import save_file

from qlab.language import streaming
from qlab.language.gptq import Gptq

PAIRS = {
    "kaggle": ("transformers==5.9.0", "peft==0.19.1", "tokenizers==0.22.2"),
    "newest": ("transformers==5.23.0", "peft==0.21.2", "tokenizers==0.23.3"),
}
HUB = "huggingface_hub==1.33.0"


def quantize_all(source: Path, target: Path) -> None:
    """At each width: stream a folder, and keep the logits of its packed and dense model."""
    torch.set_num_threads(1)
    for bits in (8, 4, 3, 2):
        (folder := target / str(bits)).mkdir(parents=True)
        streaming.quantize_folder(source, Gptq(bits, 64), tiny_llama.PASSAGES, folder)
        models = {"packed": streaming.load_packed(folder), "dense": streaming.load_dense(folder)}
        save_file({n: tiny_llama.logits(m) for n, m in models.items()}, folder / "said.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_newer_libraries_pack_the_same_bytes_and_say_the_same(name, source, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    code = (
        f"import sys; sys.path.append({str(Path(__file__).parent)!r});"
        "import test_auto_gptq_compat as t, peft, transformers; from pathlib import Path;"
        f"t.quantize_all(Path({str(source)!r}), Path({str(there)!r}));"
        "print(f'transformers=={transformers.__version__} peft=={peft.__version__}')"
    )
    done = side_packages.run_with(side_packages.installed(*PAIRS[name], HUB), code)
    assert done.returncode == 0, done.stderr
    assert " ".join(PAIRS[name][:2]) in done.stdout
    quantize_all(source, here)
    for bits in ("8", "4", "3", "2"):
        ours, theirs = (tiny_llama.stored(target / bits) for target in (here, there))
        assert ours.keys() == theirs.keys() and {"packed", "dense"} <= set(ours)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours), bits


def test_import_says_nothing_and_lends_nothing_for_good():
    """In a fresh process, with the names that newer versions lack taken away."""
    code = """
import transformers.utils.hub as hub, transformers.modeling_utils as modeling
import peft.peft_model as peft_model
peft_model.PEFT_TYPE_TO_TUNER_MAPPING = peft_model.PEFT_TYPE_TO_MODEL_MAPPING
taken = [(hub, "create_commit"), (hub, "cached_file"), (peft_model, "PEFT_TYPE_TO_MODEL_MAPPING")]
for owner, name in taken:
    delattr(owner, name)
from qlab.language import gptq
gptq.library()
assert not [name for owner, name in taken if hasattr(owner, name)]
"""
    done = side_packages.run_with(None, code)
    assert done.returncode == 0, done.stderr
    assert "CUDA extension" not in done.stderr + done.stdout
