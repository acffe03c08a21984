"""Experiment 02: a language model quantized, and judged on LAMBADA.

What is worked on: `given`, `lambada`, `data` (all of it, checked). A model: `configuration` (its
files), `decoder` (opened), `walk` (block by block). Methods: `quantized` says what one is; `gptq`,
`gptq_format`, `bnb`, `autoround`; `streaming` applies one to a folder and reads what others made,
`training` makes adapters. `build` keeps folders and scores, in the same `digits` each time.
Judging: `scoring`, `outcomes`; records: `metrics`, `measure`, `layer_errors`, `speed`.
"""
