"""A transformer taken along runs where qlab is not, and answers what it answers here."""

import json

import pytest
import shown
import torch
from torchao.quantization import IntxWeightOnlyConfig, PerGroup, quantize_
from transformer_world import save
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def test_the_lines_without_qlab_say_the_same(tmp_path):
    given, here = "very good food", {}
    for kind in (torch.int2, torch.int4):
        folder = save(tmp_path / str(kind))
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        base = IntxWeightOnlyConfig(weight_dtype=kind, granularity=PerGroup(8))
        blocks = model.base_model.encoder
        quantize_(blocks, base, filter_fn=lambda m, _: isinstance(m, torch.nn.Linear))
        torch.save(model.state_dict(), folder / "weights.pt")
        (folder / "model.safetensors").unlink()
        words = AutoTokenizer.from_pretrained(folder)(given, return_tensors="pt")
        with torch.inference_mode():
            here[folder] = model(**words).logits[0].softmax(0).tolist()
    said = shown.alone("06_", here, "print(json.dumps(scores.tolist()))", given)[1::2]
    for line, scores in zip(said, here.values(), strict=True):
        assert json.loads(line) == pytest.approx(scores, abs=1e-6)
