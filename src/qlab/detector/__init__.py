"""Experiment 01: what TFLite post-training quantization costs a detector.

Start with `measure` (from results to records; `speed` and `robustness` beside it). `data` is what
is worked on, `quantize` makes the variants, `detect` runs them; `coco` reads and matches,
`average_precision` has AP and its bootstrap, `judged` scores detections and keeps them as items.
`plots`, `pictures` and `explore` show. Embedded: `mini_coco` and `centernet`.
"""
