"""`make_folders.py float GGUF PASSAGES.jsonl COUNT SKIP OUT` and `make_folders.py rtn FOLDER OUT`.

The float folder that a GGUF file stands for, with its passages as tokens; and the same model
rounded to 4 bits in groups of 64 and packed as GPTQ does, whose kernels do not ask how it was made.
"""

import json
import os
import shutil
import sys
from pathlib import Path

os.environ["USE_TF"] = "0"

import torch  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

torch.set_num_threads(1)  # packing is many small steps
BITS, GROUP = 4, 64
SETTINGS = {"quant_method": "gptq", "bits": BITS, "group_size": GROUP, "desc_act": False}
SETTINGS |= {"sym": True, "damp_percent": 0.01, "true_sequential": True}


def tokenizer(file: Path):
    """The tokenizer of a GGUF file that says how it starts and what it splits."""
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers

    stored, prefix = GGUFReader(file), "tokenizer.ggml."

    def value(name: str):
        field = stored.get_field(prefix + name)
        return None if field is None else field.contents()

    # transformers adds a BOS whatever the file says, takes it for the EOS, and reads no `pre`.
    made = AutoTokenizer.from_pretrained(
        file.parent, gguf_file=file.name, add_bos_token=bool(value("add_bos_token"))
    )
    made.eos_token = made.convert_ids_to_tokens(value("eos_token_id"))
    if value("pre") == "smollm":
        parts = [pre_tokenizers.Digits(individual_digits=True)]
        parts.append(pre_tokenizers.ByteLevel(add_prefix_space=False))
        made.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    return made


def write_float(file: Path, passages: Path, count: int, skip: int, out: Path) -> None:
    """The dequantized model with its tokenizer; and `passages.json`, the last word apart."""
    AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(out)
    read = tokenizer(file)
    read.save_pretrained(out, legacy_format=False)  # else with a copy of the whole GGUF file
    rows = []
    for line in passages.read_text().splitlines()[skip : skip + count]:
        text = json.loads(line)["text"].strip()
        tokens = read(text).input_ids
        rows.append({"tokens": tokens, "start": len(read(text.rsplit(" ", 1)[0]).input_ids)})
    (out / "passages.json").write_text(json.dumps(rows))


def write_rtn(folder: Path, out: Path) -> None:
    """Every linear layer of the decoder layers in auto-gptq's format, the embedding twice."""
    from auto_gptq.nn_modules.qlinear.qlinear_cuda_old import QuantLinear
    from auto_gptq.quantization.quantizer import Quantizer
    from safetensors.torch import save_file

    model = AutoModelForCausalLM.from_pretrained(folder)
    state = dict(model.state_dict())
    for name, linear in model.model.layers.named_modules(prefix="model.layers"):
        if not isinstance(linear, torch.nn.Linear):
            continue
        grid, scales, zeros = Quantizer(), [], []
        grid.configure(BITS, perchannel=True, sym=True)
        for part in linear.weight.data.split(GROUP, dim=1):
            grid.find_params(part, weight=True)
            part.copy_(grid.quantize(part))
            scales.append(grid.scale)
            zeros.append(grid.zero)
        packed = QuantLinear(BITS, GROUP, linear.in_features, linear.out_features, False)
        groups = torch.arange(linear.in_features, dtype=torch.int32) // GROUP
        packed.pack(linear, torch.cat(scales, 1), torch.cat(zeros, 1), groups)
        del state[f"{name}.weight"]
        state |= {f"{name}.{end}": tensor for end, tensor in packed.state_dict().items()}
    # Both names of a tied embedding: auto-gptq's own loader needs one, transformers the other.
    state = {name: tensor.clone().contiguous() for name, tensor in state.items()}
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text()) | {"quantization_config": SETTINGS}
    (out / "config.json").write_text(json.dumps(config))
    for file in folder.glob("*token*"):
        shutil.copy(file, out)


if __name__ == "__main__":
    kind, *given, out = sys.argv[1:]
    if kind == "float":
        write_float(Path(given[0]), Path(given[1]), int(given[2]), int(given[3]), Path(out))
    else:
        write_rtn(Path(given[0]), Path(out))
