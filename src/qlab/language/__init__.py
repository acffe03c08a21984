"""Experiment 02: a language model quantized, and judged on LAMBADA.

What is worked on: `lambada`, `data` (all of it, checked). A model: `decoder`. Methods: `quantized`
says what one is; `gptq`, `bnb`, `autoround`; `streaming` applies one to a folder and reads what
others made, `training` makes adapters. `build` keeps folders and scores, in the same digits each
time. Judging: `scoring`; records: `measure`, `speed`.
"""
