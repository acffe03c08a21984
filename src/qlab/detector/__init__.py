"""Experiment 01: what TFLite post-training quantization costs a detector.

`data` is worked on, `quantize` surrounds conversions, `detect` runs files, `average_precision`
judges, `measure` makes records (`speed` and `robustness` too), `plots` and `pictures` draw.
"""
