"""Notebook 02: a Llama quantized with GPTQ, bitsandbytes, AutoRound and rounding, judged on LAMBADA.

Start at `data` (parameters, passages), `build` (the variants' folders and scores) and `measure` (the
records). A method: `quantized` (what one is), `methods` (their table), `gptq`, `bnb`, `autoround`.
Judging: `lambada`, `scoring`, `outcomes`, `layer_errors`, `speed`. To look at: `plots`, `words`.
"""
