"""A model taken along runs where qlab is not, and says what it says here."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import shown
import tiny_llama
import torch
from peft import LoraConfig, get_peft_model

from qlab.core import records
from qlab.core.records import Record
from qlab.language import build, gptq, streaming
from qlab.language.quantized import Library

ALSO = """
import numpy as np
with torch.inference_mode():
    logits = model(**tokens).logits[0].float().numpy()
kinds = sorted({type(m).__name__ for m in model.modules() if "Linear" in type(m).__name__})
np.savez(f"{folder}.npz", logits=logits, kinds=kinds, tokens=tokens["input_ids"][0].numpy())
"""


@pytest.fixture
def kept(tmp_path):
    """The folder of one's own into which a folder, and an adapter, is taken along."""

    def keep(folder, adapter=None):
        about = {"experiment": "e", "model": "m", "dataset": "d", "unit": "1"}
        table = records.as_table([Record(**about, variant="v", metric="acc", value=0.5)])
        variant = build.Variant("v", Library("gptq", 4, 32), folder, adapter)
        mine = tmp_path / "mine" / folder.name
        return build.take(mine, SimpleNamespace(model="m"), variant, table, {"commit": "c"})

    return keep


def test_what_was_taken_runs_without_qlab(tmp_path, kept, source, made):
    """What the notebook's lines find in each folder, in a process without qlab, is what the model
    says, up to the order in which a kernel sums: GPTQ of any family, bitsandbytes, an adapter."""
    theirs = tiny_llama.bitsandbytes(source, tmp_path / "nf4", load_in_4bit=True)
    models = {kept(tmp_path / "nf4"): theirs}
    for name, config in tiny_llama.FAMILIES.items():
        tiny_llama.save(config, tmp_path / name)
        packed = made(gptq.RoundToNearest(4, 32), of=tmp_path / name)
        if name == "mistral":  # in one file, as AutoRound writes it
            tiny_llama.rewrite(packed, tiny_llama.stored(packed))
        folder, dense = kept(packed), streaming.load_dense(packed)
        models[folder] = streaming.load_dense(folder)
        assert torch.equal(tiny_llama.logits(models[folder]), tiny_llama.logits(dense)), name
        if name == "gemma2":
            models[folder].config._attn_implementation = "sdpa"  # as transformers opens it
    dense = streaming.load_dense(packed := made(gptq.RoundToNearest(3, 32)))
    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    learned = get_peft_model(dense, config)
    learned.save_pretrained(tmp_path / "adapter")
    models[kept(packed, tmp_path / "adapter")] = learned
    shown.alone("02_", models, ALSO, "The capital of France is")
    for folder, model in models.items():
        found = np.load(f"{folder}.npz")
        expected = tiny_llama.logits(model, found["tokens"].tolist()).detach().numpy()
        assert np.abs(found["logits"] - expected).max() < 1e-4 * np.abs(expected).max(), folder
        assert {"Linear4bit", "QuantLinear"} & set(found["kinds"]), folder
        card = json.loads((folder / "card.json").read_text())
        assert (card["model"], card["variant"], card["records"][0]["value"]) == ("m", "v", 0.5)
