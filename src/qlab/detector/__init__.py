"""Experiment 01: what TFLite post-training quantization costs a detector.

Start with `measure` (from results to records; `speed` and `robustness` beside it). `data` is what
is worked on, `quantize` surrounds conversions, `detect` runs files; `coco` reads and matches,
`average_precision` scores and keeps items; `plots` and `pictures` draw.
"""
