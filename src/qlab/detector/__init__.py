"""Experiment 01: what TFLite post-training quantization costs a detector.

`data` is what is worked on, `quantize` makes the variants, `detect` runs them; `measure`, `speed`
and `robustness` make records, `judged` scores detections and keeps them as items, `plots`,
`pictures` and `explore` show. `mini_coco`, `centernet` and `targets` make the embedded subject.
Start with `measure.build_variants`.
"""
