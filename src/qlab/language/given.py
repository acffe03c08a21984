"""A model as people have it: a folder, a name on the hub, a GGUF file, a folder quantized already.

Whatever comes in, a float Hugging Face folder comes out, and a sentence that says what it was.
"""

import json
from pathlib import Path

import torch
from tokenizers import pre_tokenizers, processors
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from qlab.core import cache, hub, paths
from qlab.core.errors import QlabError
from qlab.language import configuration, decoder, formats, streaming

# Tokens as transformers and as a GGUF file call them.
SPECIAL = {"bos_token": "bos_token_id", "eos_token": "eos_token_id"}
SPECIAL |= {"unk_token": "unknown_token_id", "pad_token": "padding_token_id"}


def folder(name: str, weights: bool) -> Path:
    """A model's folder: a path, a name under QLAB_DATA/llm, a GGUF file turned into one, or from
    the hub; without `weights` at least configuration and tokenizer: enough to refuse a model by."""
    places = [Path(name).expanduser()]
    if root := paths.real_data():
        places += [root / "llm" / name, root / "llm" / name.rsplit("/", 1)[-1]]
    found = next((place for place in places if place.exists()), None)
    if found and found.is_dir():
        return found
    if found and found.suffix == ".gguf":
        return from_gguf(found)
    if found or not hub.is_name(name):
        raise QlabError(
            f"There is no model folder or GGUF file at {name}; give a local Hugging Face folder, a "
            "file that ends in .gguf, or a name on the hub such as meta-llama/Llama-3.2-3B."
        )
    return hub.model(name, weights=weights)


def from_gguf(file: Path) -> Path:
    """A float32 folder of a GGUF file's dequantized weights and its tokenizer, made once.

    QlabError: the file is none, or of a family that transformers does not read from GGUF.
    """
    recipe = {"file": cache.file_sha256(file), "code": cache.code_sha256(__name__)}
    recipe["versions"] = cache.versions("transformers", "gguf")

    def make(target: Path) -> None:
        from gguf import GGUFReader

        disable_progress_bar()
        named = {"gguf_file": file.name, "torch_dtype": torch.float32}
        try:
            parts = GGUFReader(file)
            model = AutoModelForCausalLM.from_pretrained(file.parent, **named)
        except (ValueError, KeyError, NotImplementedError) as error:
            raise QlabError(
                f"{file} could not be read as a GGUF file of a causal decoder: {error}. Get it "
                "again, or give the Hugging Face folder it was made from."
            ) from error
        model.save_pretrained(target / "model")
        _tokenizer(file, parts.fields).save_pretrained(target / "model")
        kinds = [tensor.tensor_type.name for tensor in parts.tensors]
        most_first = ", ".join(sorted(set(kinds), key=lambda kind: -kinds.count(kind)))
        (target / "parent.json").write_text(json.dumps({"gguf": file.name, "kinds": most_first}))

    return cache.artefact("gguf", recipe, make) / "model"


def _tokenizer(file: Path, fields: dict) -> PreTrainedTokenizerFast:
    """The file's tokenizer, with a token for the beginning only where the file asks for one.

    transformers adds one or not whatever the file says, takes it for the one at the end too, and
    leaves out that SmolLM splits digits.
    """
    inside = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).backend_tokenizer
    said = {name.removeprefix("tokenizer.ggml."): one.contents() for name, one in fields.items()}
    special = {n: inside.id_to_token(said[i]) for n, i in SPECIAL.items() if i in said}
    inside.post_processor = None
    if said.get("add_bos_token", said["model"] == "llama") and "bos_token" in special:
        begin = special["bos_token"]
        inside.post_processor = processors.TemplateProcessing(
            f"{begin} $A", special_tokens=[(begin, said["bos_token_id"])]
        )
    if said.get("pre") == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        inside.pre_tokenizer = pre_tokenizers.Sequence([digits, inside.pre_tokenizer])
    # Without token types, which `generate` of a decoder refuses.
    names = ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=inside, model_input_names=names, **special)


def parent(quantized: Path, named: str) -> tuple[Path, str]:
    """The float folder that a quantized one is compared with, and a sentence about it: the one that
    is named, else its own weights turned into float32 ones."""
    own = configuration.read(quantized)
    if named:
        found = folder(named, weights=True)
        config = configuration.check(found)
        if configuration.quantized(config) or decoder.shapes(own) != decoder.shapes(config):
            raise QlabError(
                f"The parent {found} is quantized itself, or its layers have other names or widths "
                f"than those of {quantized}; give the float model that this one was made from."
            )
        return found, f"{quantized.name} is quantized already; its parent is said to be {named}."
    recipe = {"folder": cache.file_sha256(quantized), "code": cache.code_sha256(__name__)}

    def make(target: Path) -> None:
        streaming.load_dense(quantized).save_pretrained(target / "model")
        configuration.load_tokenizer(quantized).save_pretrained(target / "model")

    method = formats.stored(own.quantization_config, quantized)
    return cache.artefact("dense", recipe, make) / "model", (
        f"{quantized.name} is quantized already ({method.kind}, {method.bits} bits): its weights "
        "turned into float32 ones are the parent here. Name the real one with 'parent'."
    )


def about(name: str, found: Path) -> list[str]:
    """What there is to say of where a float model came from."""
    facts = found.parent / "parent.json"
    if not facts.is_file():
        return []
    kinds = json.loads(facts.read_text())["kinds"]
    return [
        f"The parent is {Path(name).name}, whose weights were stored as {kinds}, turned into "
        "float32: what is measured at so few bits and below holds of this parent, whose weights "
        "lie on a coarse grid already."
    ]
