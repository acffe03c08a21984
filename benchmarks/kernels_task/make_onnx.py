"""`make_onnx.py FOLDER OUT`: write fp32/, int8/ and int4/ of a float Hugging Face folder.

onnxruntime-genai's builder writes the graph; ONNX Runtime's own quantizer writes the weights, in
groups of 32 and multiplied in int8 (`accuracy_level` 4). In int4 the head stays float, as in the
other 4-bit variants.
"""

import os
import sys
from pathlib import Path

os.environ["USE_TF"] = "0"

import onnx  # noqa: E402
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer  # noqa: E402
from onnxruntime_genai.models import builder  # noqa: E402

HEAD = "/lm_head/MatMul"

if __name__ == "__main__":
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    builder.create_model(None, str(folder), str(out / "fp32"), "fp32", "cpu", str(out / "cache"))
    for name, bits, left in (("int8", 8, []), ("int4", 4, [HEAD])):
        (out / name).mkdir()
        graph = onnx.load(out / "fp32" / "model.onnx")
        made = MatMulNBitsQuantizer(
            graph,
            bits=bits,
            block_size=32,
            is_symmetric=True,
            accuracy_level=4,
            nodes_to_exclude=left,
        )
        made.process()
        made.model.save_model_to_file(str(out / name / "model.onnx"), True)
