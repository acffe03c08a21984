"""Experiment 01: what TFLite post-training quantization costs a detector.

`data` is what is worked on, `quantize` makes the variants, `detect` runs them. `measure`, `speed` and
`robustness` turn answers into records; `judged` scores detections (`average_precision`, `coco`) and
keeps them as items. `plots`, `pictures`, `words` and `explore` show. The embedded subject is made by
`mini_coco`, `centernet` and `training`. Start with `measure.build_variants`.
"""
