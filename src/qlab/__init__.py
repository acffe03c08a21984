"""What quantization costs and buys, measured: the package that the notebooks call.

One idea a module. Read an experiment from the module that measures downwards; where a name is not
here, a module here imports it.

**The rails.** Running: `qlab.run.cli`, `qlab.run.notebook`, `qlab.run.parameters`, `qlab.core.secrets`. Files:
`qlab.core.paths`, `qlab.core.cache`, `qlab.core.fetch`, `qlab.core.hub`. Numbers: `qlab.core.records`,
`qlab.core.measured`, `qlab.core.provenance`, `qlab.core.stats`, `qlab.core.timing`. Pictures: `qlab.core.plot`,
`qlab.core.live`, `qlab.run.site`. What a user reads when something is wrong: `qlab.core.errors`.

**Experiment 01, a detector in TFLite.** `qlab.detector.measure` measures, `qlab.detector.plots` and
`qlab.detector.words` show, `qlab.detector.data` holds its parameters. Variants: `qlab.detector.quantize`,
`qlab.core.tflite_graph`, `qlab.detector.detect`. Judging: `qlab.detector.coco`, `qlab.detector.average_precision`, `qlab.core.corruptions`.
The embedded subject: `qlab.detector.mini_coco`, `qlab.detector.centernet`, `qlab.detector.training`.

**Experiment 02, a language model.** `qlab.language.measure` measures, `qlab.language.build` builds,
`qlab.language.plots` and `qlab.language.words` show, `qlab.language.data` holds its parameters.
Methods: `qlab.language.methods` is their table, `qlab.language.weight_only` the start of your own; `qlab.language.gptq`,
`qlab.language.bnb`, `qlab.language.autoround`, `qlab.language.streaming`, `qlab.language.lora`. Judging: `qlab.language.lambada`,
`qlab.language.scoring`, `qlab.language.layer_errors`, `qlab.language.speed`. The embedded subject:
`qlab.language.mini_lambada`, `qlab.language.mini`, `qlab.language.training`, `qlab.language.outliers`.

**Experiment 03, training with quantization.** `qlab.classifier.measure` measures, `qlab.classifier.points` builds,
`qlab.classifier.plots` and `qlab.classifier.words` show, `qlab.classifier.data` holds its
parameters. Methods: `qlab.classifier.partial_qat`, `qlab.classifier.fine_tune`, `qlab.classifier.ptq`,
`qlab.classifier.export`. Answers: `qlab.classifier.formulas`, `qlab.classifier.planner`, `qlab.core.places`,
`qlab.classifier.break_even`. The network: `qlab.classifier.network_bytes`, `qlab.classifier.distributed_training`. The embedded
subject: `qlab.core.shapes32`, `qlab.classifier.resnet`, `qlab.classifier.training`.

**Experiment 04, evidence.** `qlab.evidence.data` and `qlab.evidence.measure`, on
`qlab.evidence.models`, `qlab.evidence.intensity`, `qlab.evidence.dempster`, `qlab.evidence.synthesis`,
`qlab.evidence.own`.

**Experiment 05, claims.** `qlab.claims.claims` reads them, `qlab.claims.rules` and `qlab.claims.verdicts`
judge, `qlab.claims.ledger` keeps the verdicts; `qlab.claims.chooser` answers which variant to take.
"""

import contextlib
import os
import sys

# TensorFlow 2.20 and later shows its LLVM to every library loaded after it, and Triton 3.7, which
# PyTorch for CUDA brings along and imports when it likes, dies of that at once:
# https://github.com/tensorflow/tensorflow/issues/124205. It lives where it comes first; where it
# is too late for that, what needs no Triton still runs.
if "tensorflow" not in sys.modules:
    with contextlib.suppress(ImportError):
        import triton  # noqa: F401

# transformers would import TensorFlow too, wherever it is installed: ten seconds, and noise.
os.environ.setdefault("USE_TF", "0")
