"""Notebook 00: quantization by hand, in numpy, on one small layer; no framework is loaded.

Start with `grid` (scales, zero-points, rounding), then `gptq` and `training`. `data` has the layer
and its inputs, `measure` makes records and items, `exercises` judges the reader's answers.
"""
