"""Run a classifier that was taken along: `folder` and `sentence` name it and a sentence."""

from pathlib import Path

import torch
import torchao  # noqa: F401  the file holds tensors of its kind
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

folder, sentence = Path("my_classifier"), "the food was not only fresh ."  # yours

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(folder))
model.load_state_dict(torch.load(folder / "weights.pt", weights_only=True), assign=True)
with torch.inference_mode():
    logits = model.eval()(**tokenizer(sentence, return_tensors="pt")).logits[0]
scores = logits.softmax(0)
print(f"class {int(scores.argmax())} {scores.max():.2f}")
