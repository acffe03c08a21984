"""auto-gptq works here and beside Kaggle's transformers and peft, says nothing, leaves nothing."""

from pathlib import Path

import pytest
import side_packages
import tiny_llama
import torch
from safetensors.torch import save_file

from qlab.language import gptq, streaming

KAGGLE = ("transformers==5.9.0", "peft==0.19.1", "tokenizers==0.22.2", "huggingface_hub==1.33.0")


def quantize_all(source: Path, target: Path) -> None:
    """At each width: stream a folder, and keep the logits of its packed and dense model."""
    torch.set_num_threads(1)
    for bits in (8, 4, 3, 2):
        (folder := target / str(bits)).mkdir(parents=True)
        streaming.quantize_folder(source, gptq.Gptq(bits, 64), tiny_llama.PASSAGES, folder)
        models = {"packed": streaming.load_packed(folder), "dense": streaming.load_dense(folder)}
        save_file({n: tiny_llama.logits(m) for n, m in models.items()}, folder / "said.safetensors")


@pytest.mark.slow
def test_kaggles_newer_libraries_pack_the_same_bytes_and_say_the_same(source, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    code = f"""
import importlib, sys
from pathlib import Path
sys.path.append({str(Path(__file__).parent)!r})
import peft, transformers, test_auto_gptq_compat as t
lent = [(importlib.import_module(module), name) for module, name in t.gptq.LOANS]
lent = [(owner, name) for owner, name in lent if not hasattr(owner, name)]
t.quantize_all(Path({str(source)!r}), Path({str(there)!r}))
assert lent and not [name for owner, name in lent if hasattr(owner, name)]
print(f"transformers=={{transformers.__version__}} peft=={{peft.__version__}}")
"""
    done = side_packages.run_with(KAGGLE, code)
    assert done.returncode == 0, done.stderr
    assert " ".join(KAGGLE[:2]) in done.stdout
    assert "CUDA extension" not in done.stderr + done.stdout
    quantize_all(source, here)
    for bits in ("8", "4", "3", "2"):
        ours, theirs = (tiny_llama.stored(target / bits) for target in (here, there))
        assert ours.keys() == theirs.keys() and {"packed", "dense"} <= set(ours)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours), bits
