"""Notebook 02: a Llama quantized by GPTQ, bitsandbytes, AutoRound and rounding, judged on LAMBADA.

Start at `data` (parameters, passages), `build` (variants' folders and scores), `measure` (records).
A method: `quantized` says what one is, `methods` is their table, then `gptq`, `bnb`, `autoround`.
Judging: `lambada`, `scoring`, `outcomes`, `layer_errors`, `speed`; to look at: `plots`.
"""
