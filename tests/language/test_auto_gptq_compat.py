"""auto-gptq works here and beside newer transformers and peft, and leaves nothing behind.

The newer ones are installed into a folder of their own under build/peers, in front of the locked
environment, which provides everything else.
"""

from pathlib import Path

import peft
import pytest
import side_packages
import tiny_llama
import torch
import transformers
from safetensors.torch import save_file

from qlab.language import gptq, streaming
from qlab.language.gptq import Gptq

PAIRS = {
    "kaggle": ("transformers==5.9.0", "peft==0.19.1", "tokenizers==0.22.2"),
    "newest": ("transformers==5.23.0", "peft==0.21.2", "tokenizers==0.23.3"),
}
HUB = "huggingface_hub==1.33.0"


def quantize_all(source: Path, target: Path) -> None:
    """At each width: stream a folder, and keep the logits of its packed and dense model."""
    print(f"transformers=={transformers.__version__} peft=={peft.__version__}")
    torch.set_num_threads(1)
    for bits in (8, 4, 3, 2):
        folder = target / str(bits)
        folder.mkdir()
        streaming.quantize_folder(source, Gptq(bits, 64), tiny_llama.PASSAGES, folder)
        models = {"packed": streaming.load_packed(folder), "dense": streaming.load_dense(folder)}
        save_file({n: tiny_llama.logits(m) for n, m in models.items()}, folder / "said.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_newer_libraries_pack_the_same_bytes_and_say_the_same(name, source, tmp_path):
    for where in ("here", "there"):
        (tmp_path / where).mkdir()
    code = (
        f"import sys; sys.path.append({str(Path(__file__).parent)!r});"
        "import test_auto_gptq_compat as t; from pathlib import Path;"
        f"t.quantize_all(Path({str(source)!r}), Path({str(tmp_path / 'there')!r}))"
    )
    done = side_packages.run_with(side_packages.installed(*PAIRS[name], HUB), code)
    assert done.returncode == 0, done.stderr
    assert " ".join(PAIRS[name][:2]) in done.stdout
    quantize_all(source, tmp_path / "here")
    for bits in ("8", "4", "3", "2"):
        ours, theirs = (tiny_llama.stored(tmp_path / where / bits) for where in ("here", "there"))
        assert ours.keys() == theirs.keys() and {"packed", "dense"} <= set(ours)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours), bits


def test_what_is_lent_is_taken_back():
    synchronize = torch.cuda.synchronize
    with gptq.without_cuda():
        torch.cuda.synchronize()  # raises without CUDA, unless made harmless
    assert torch.cuda.synchronize is synchronize


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
