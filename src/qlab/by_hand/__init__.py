"""Notebook 00: quantization by hand, in numpy, on one small layer; no framework is loaded.

Start with `grid` (scales, zero-points, rounding), then `gptq` and `training`. `data` is the layer
and what it sees, `measure` makes records and items, `exercises` judges the reader's answers.
"""
