"""Experiment 02: quantize a language model and judge it on LAMBADA.

What is worked on: `lambada`, `data` (all of it, checked). The model: `decoder`. Methods:
`quantized` defines what one is; `gptq`, `autoround`; `streaming` applies one to a folder and reads
folders that others made, bitsandbytes too; `training` makes adapters. `build` keeps folders and
scores, which are the same to the last digit each time. Judging: `scoring`; records: `measure`,
`speed`.
"""
