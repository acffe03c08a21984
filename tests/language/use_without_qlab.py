"""Run a language model that was taken along: `folder` and `text` name it and what to go on from."""

from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, text = Path("my_model"), "The capital of France is"  # yours

tokenizer = AutoTokenizer.from_pretrained(folder)
# Gemma 2 asks for attn_implementation="eager" beside the type: the default drops its soft cap.
model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32)
if (folder / "adapter").is_dir():
    model = PeftModel.from_pretrained(model, folder / "adapter")
tokens = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
with torch.inference_mode():
    written = model.eval().generate(**tokens, max_new_tokens=20, do_sample=False)
print(tokenizer.decode(written[0], skip_special_tokens=True))
