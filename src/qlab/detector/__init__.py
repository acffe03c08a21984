"""Experiment 01: what TFLite post-training quantization costs a detector.

`data` has model and images, `quantize` helps with conversions, `detect` runs files,
`average_precision` scores; `measure`, `speed`, `robustness` make records; `plots`, `pictures` draw.
"""
