"""Experiment 02: a Llama quantized by GPTQ, bitsandbytes, AutoRound and rounding; LAMBADA judges.

Start with `measure` (from results to records), then `data` and `passages` (what is worked on) and
`build` (variants' folders and scores). A method: `quantized` says what one is, `methods` is their
table, then `gptq`, `bnb`, `autoround`, `lora`. Files: `llama` (a folder read), `streaming`
(quantized layer by layer), `gptq_format` (packed, and checked), `sizes`. `device` says whether a
GPU will do. Judging: `lambada` reads passages, `scoring` decides `acc` and ranks, `outcomes`
keeps them.
"""
