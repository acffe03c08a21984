"""Experiment 03: quantize some layers of an image classifier, with and without training.

Start with `measure` (turns results into records), then `data` (the model and its images) and
`points` (makes quantized models; `sweep` lists which). `partial_qat.choose` selects layers;
`fine_tune` trains; `export` writes files, with or without training, and reads them back. `formulas`
fits loss and size; `quantizers` shows where tfmot put its quantizers; `network` counts bytes sent;
`speed` takes times; `outcomes` has a row per image; `named` and `folders` get models and images.
"""
