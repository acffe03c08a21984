"""A model as people have it: a folder, a name on the hub, a GGUF file, a folder quantized already.

Whatever comes in, a float Hugging Face folder comes out, and a sentence that says what it was.
"""

from collections import Counter
from pathlib import Path

import torch
from tokenizers import pre_tokenizers, processors
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from qlab.core import cache, hub, paths
from qlab.core.errors import QlabError
from qlab.language import configuration, decoder, streaming

# Tokens as transformers and as a GGUF file call them.
SPECIAL = {"bos_token": "bos_token_id", "eos_token": "eos_token_id"}
SPECIAL |= {"unk_token": "unknown_token_id", "pad_token": "padding_token_id"}


def local(name: str) -> Path | None:
    """Where a model lies: at a path, or under QLAB_DATA/llm by its name or the end of it."""
    root = paths.real_data()
    inside = [root / "llm" / name, root / "llm" / name.rsplit("/", 1)[-1]] if root else []
    return next((p for p in (Path(name).expanduser(), *inside) if p.exists()), None)


def folder(name: str, weights: bool) -> Path:
    """A model's folder: a `local` one, a GGUF file turned into one, or from the hub; without
    `weights` at least what refuses a model: configuration and tokenizer."""
    found = local(name)
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
    """A float32 folder of a GGUF file's dequantized weights and its tokenizer, made once; QlabError
    for a file that is none, or of a family that transformers does not read from GGUF."""
    recipe = {"file": cache.file_sha256(file), "code": cache.code_sha256(__name__)}
    recipe["versions"] = cache.versions("transformers", "gguf")

    def make(target: Path) -> None:
        from gguf import GGUFReader

        disable_progress_bar()
        named = {"gguf_file": file.name, "torch_dtype": torch.float32}
        try:
            parts = GGUFReader(file)
            model = AutoModelForCausalLM.from_pretrained(file.parent, **named)
        except (ValueError, LookupError, NotImplementedError) as error:
            raise QlabError(
                f"{file} could not be read as a GGUF file of a causal decoder: {error}. Get it "
                "again, or give the Hugging Face folder it was made from."
            ) from error
        model.save_pretrained(target / "model")
        _tokenizer(file, parts.fields).save_pretrained(target / "model")
        kinds = Counter(tensor.tensor_type.name for tensor in parts.tensors)
        (target / "kinds.txt").write_text(", ".join(kind for kind, _ in kinds.most_common()))

    return cache.artefact("gguf", recipe, make) / "model"


def _tokenizer(file: Path, fields: dict) -> PreTrainedTokenizerFast:
    """The file's tokenizer, with a token for the beginning if the file asks for one: transformers
    adds it or not, takes it for the end's too, and leaves out that SmolLM splits digits."""
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
    """The float folder that a quantized one is compared with, the one that is named, else its own
    weights in float32; and a sentence about it."""
    own = configuration.read(quantized)
    if named:
        found = folder(named, weights=True)
        config = configuration.check(found)
        if configuration.quantized(config) or decoder.shapes(own) != decoder.shapes(config):
            why = f"is quantized itself, or its layers are not those of {quantized}"
            raise QlabError(f"The parent {found} {why}; give the float model that this is made of.")
        return found, f"{quantized.name} is quantized already; its parent is said to be {named}."
    recipe = {"folder": cache.file_sha256(quantized), "code": cache.code_sha256(__name__)}

    def make(target: Path) -> None:
        streaming.load_dense(quantized).save_pretrained(target / "model")
        configuration.load_tokenizer(quantized).save_pretrained(target / "model")

    method = streaming.stored(own.quantization_config, quantized)
    return cache.artefact("dense", recipe, make) / "model", (
        f"{quantized.name} is quantized already ({method.kind}, {method.bits} bits): its weights "
        "turned into float32 ones are the parent here. Name the real one with 'parent'."
    )


def about(name: str, found: Path) -> list[str]:
    """What there is to say of where a float model came from."""
    kinds = found.parent / "kinds.txt"
    if not kinds.is_file():
        return []
    told = f"The parent is {Path(name).name}, whose weights were stored as {kinds.read_text()}"
    return [f"{told}: what is measured at so few bits and below holds of this coarse parent."]
