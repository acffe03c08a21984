"""A transformer taken along runs where qlab is not, and answers what it answers here."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch
from conftest import NOTEBOOKS
from torchao.quantization import IntxWeightOnlyConfig, PerGroup, quantize_
from transformer_world import save
from transformers import AutoModelForSequenceClassification, AutoTokenizer

USE = Path(__file__).with_name("use_without_qlab.py")
ALONE = """import json, sys
class Without:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == "qlab":
            raise ImportError(f"{name} is not here")
sys.meta_path.insert(0, Without())
exec(sys.argv[1])
print(json.dumps(scores.tolist()))
"""


def test_the_lines_are_those_that_the_notebook_shows():
    [notebook] = [p for p in NOTEBOOKS if p.name.startswith("06_")]
    [shown] = [c.source for c in nbformat.read(notebook, 4).cells if "no qlab" in c.source]
    assert shown.partition("```python\n")[2].partition("```")[0] == USE.read_text()


@pytest.mark.parametrize("bits", [2, 4])
def test_the_lines_without_qlab_say_the_same(tmp_path, bits):
    folder = save(tmp_path / "mine")
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    base = IntxWeightOnlyConfig(weight_dtype=getattr(torch, f"int{bits}"), granularity=PerGroup(8))
    chosen = {
        m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and ".layer" in n
    }
    quantize_(model, base, filter_fn=lambda module, name: module in chosen)
    torch.save(model.state_dict(), folder / "weights.pt")
    (folder / "model.safetensors").unlink()
    words = AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        here = model(**words("very good food", return_tensors="pt")).logits[0].softmax(0)

    lines = USE.read_text().replace("my_classifier", str(folder))
    lines = lines.replace("the food was not only fresh .", "very good food")
    call = [sys.executable, "-c", ALONE, lines]
    env = {"USE_TF": "0", "PATH": "", "HOME": str(tmp_path)}
    done = subprocess.run(call, capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx(here.tolist(), abs=1e-6)
