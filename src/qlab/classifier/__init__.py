"""Experiment 03: quantize some layers of an image classifier, with and without training.

Start at `data` (what notebook 03 works on), `points` (makes a quantized model) and `measure` (from
results to records). Methods: `partial_qat`, `fine_tune`, `ptq`, `export`; answers: `formulas`,
`planner`; pictures: `plots`, `explore`."""
