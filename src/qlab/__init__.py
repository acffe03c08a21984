"""What quantization costs and buys, measured: the package that the notebooks call.

One idea a module. Read an experiment from the module that measures downwards; where a name is not
here, a module here imports it.

**The rails.** Running: `qlab.cli`, `qlab.runner`, `qlab.parameters`, `qlab.secrets`. Files:
`qlab.paths`, `qlab.artefacts`, `qlab.downloads`, `qlab.hub`. Numbers: `qlab.records`,
`qlab.measured`, `qlab.provenance`, `qlab.statistics`, `qlab.timing`. Pictures: `qlab.figures`,
`qlab.live`, `qlab.report`. What a user reads when something is wrong: `qlab.errors`.

**Experiment 01, a detector in TFLite.** `qlab.centernet_ptq` measures, `qlab.centernet_figures` and
`qlab.centernet_words` show, `qlab.detection_task` holds its parameters. Variants: `qlab.tflite`,
`qlab.graph`, `qlab.detectors`. Judging: `qlab.coco`, `qlab.average_precision`, `qlab.corruptions`.
The embedded subject: `qlab.mini_coco`, `qlab.centernet`, `qlab.centernet_training`.

**Experiment 02, a language model.** `qlab.llama_gptq` measures, `qlab.llama_variants` builds,
`qlab.llama_figures` and `qlab.llama_words` show, `qlab.language_task` holds its parameters.
Methods: `qlab.quantizers` is their table, `qlab.weight_only` the start of your own; `qlab.gptq`,
`qlab.bnb`, `qlab.autoround`, `qlab.streaming`, `qlab.lora`. Judging: `qlab.lambada`,
`qlab.lambada_scoring`, `qlab.layer_errors`, `qlab.token_speed`. The embedded subject:
`qlab.mini_lambada`, `qlab.llama_mini`, `qlab.llama_training`, `qlab.outliers`.

**Experiment 03, training with quantization.** `qlab.resnet_qat` measures, `qlab.qat_sweep` builds,
`qlab.resnet_qat_figures` and `qlab.resnet_qat_words` show, `qlab.classification_task` holds its
parameters. Methods: `qlab.partial_qat`, `qlab.fine_tune`, `qlab.partial_ptq`,
`qlab.partial_export`. Answers: `qlab.qat_formulas`, `qlab.qat_planner`, `qlab.qat_places`,
`qlab.qat_break_even`. The network: `qlab.network_bytes`, `qlab.distributed_training`. The embedded
subject: `qlab.shapes32`, `qlab.resnet`, `qlab.resnet_training`.

**Experiment 04, evidence.** `qlab.evidence_task` and `qlab.evidence_records`, on
`qlab.evidence_models`, `qlab.intensity`, `qlab.dempster`, `qlab.evidence_synthesis`,
`qlab.own_evidence`.

**Experiment 05, claims.** `qlab.claims` reads them, `qlab.claim_rules` and `qlab.claim_verdicts`
judge, `qlab.claims_ledger` keeps the verdicts; `qlab.chooser` answers which variant to take.
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
