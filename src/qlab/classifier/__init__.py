"""Experiment 03: quantize some layers of an image classifier, with and without training.

Start with `measure` (from results to records), then `data` (what is worked on) and `points`
(makes a quantized model; `sweep` says which). `partial_qat.choose` says which layers; `fine_tune`
trains, `export` writes files, with or without training, and reads them back. `formulas` answer;
`quantizers` says where tfmot put them; `network` counts bytes sent, `speed` reads the clock;
`outcomes` is what single images came to. `named` and `folders` get models and images.
"""
