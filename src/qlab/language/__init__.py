"""Experiment 02: a language model quantized, and judged on LAMBADA.

What is worked on: `given` (a folder, a GGUF file, one quantized already), `passages`, `data` (all
of it, checked). A model: `configuration` (its files), `decoder` (opened, its layers found),
`walk` (block by block, with what enters). A method: `quantized` says what one is; `gptq`,
`gptq_format`, `bnb` and `autoround` are some, `streaming` applies one to a folder, `formats` reads
what others made, `lora` and `training` make adapters. `build` keeps folders and scores, in the same
`digits` each time. Judging: `lambada`, `scoring`, `outcomes`; `metrics` and `measure` make records,
as do `layer_errors` and `speed` of what they look at.
"""
