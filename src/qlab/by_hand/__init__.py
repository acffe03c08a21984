"""Notebook 00: quantization by hand, in numpy, on one small layer.

Start with `grid` (scales, zero-points, rounding), then `gptq` and `training`. `data` is the layer
and what it sees, `measure` makes records and items of it, `plots` and `widgets` show it,
`exercises` judges the reader's answers. No framework is loaded here.
"""
