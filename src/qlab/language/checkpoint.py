"""A folder with a causal decoder: configuration, tokenizer, weights, and how they are read.

Code that a folder brings is never run, and weights are read only from safetensors, never a pickle.
"""

import json
from collections import Counter
from pathlib import Path

import torch
import transformers
from safetensors import SafetensorError, safe_open
from tokenizers import pre_tokenizers, processors
from transformers.utils.logging import disable_progress_bar

from qlab.core import cache
from qlab.core.errors import QlabError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
WORDS = ("tokenizer.json", "tokenizer.model", "vocab.json")  # one has a tokenizer's vocabulary
KINDS = "kinds.txt"  # beside a folder made from a GGUF file: how its weights were stored
# Special tokens, by their names in transformers and in a GGUF file.
SPECIAL = {"bos_token": "bos_token_id", "eos_token": "eos_token_id"}
SPECIAL |= {"unk_token": "unknown_token_id", "pad_token": "padding_token_id"}
PARTS = ("body", "embedding", "scales", "container")  # of a folder's bytes
# Endings of tensors that describe a quantized weight: GPTQ's, then bitsandbytes'.
_SCALES = (".scales", ".qzeros", ".g_idx", ".SCB", ".weight_format", ".absmax", ".quant_map")
_SCALES += (".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4")
# Parts of the names of embeddings and heads in the families that transformers has.
_EMBEDDINGS = ("embed", "lm_head", "wte", "wpe")
_JSON = ("config.json", INDEX, "adapter_config.json")


def read_config(folder: Path) -> transformers.PretrainedConfig:
    """The configuration of a causal decoder, its attention chosen; QlabError for another model."""
    file = folder / "config.json"
    settings = read_json(file) if file.is_file() else {}
    kind, named = settings.get("model_type"), settings.get("architectures")
    known = kind in transformers.CONFIG_MAPPING and transformers.CONFIG_MAPPING[kind]
    model = known and transformers.MODEL_FOR_CAUSAL_LM_MAPPING.get(known, None)
    if not model or (named and model.__name__ not in named) or kind == "gemma3":
        raise QlabError(
            f"{folder} holds {(named or [kind or 'no config.json'])[0]}; expected a causal decoder "
            "with its head that the installed transformers has, such as LlamaForCausalLM or "
            "GPT2LMHeadModel. Code that a folder brings is never run."
        )
    try:
        default = known()
        rope = _old_rope(settings, default)
        config = known.from_dict(settings | rope)
        if any(not hasattr(default, name) or getattr(config, name) != rope[name] for name in rope):
            raise ValueError(f"rope_parameters {settings['rope_parameters']}")
    except (ValueError, TypeError, KeyError) as error:
        why = f"{file} says what the installed transformers cannot read ({error})"
        raise QlabError(f"{why}; it was perhaps written by a newer one.") from error
    # PyTorch's own attention leaves out the soft cap that Gemma 2 puts on its scores.
    if getattr(config, "attn_logit_softcapping", None):
        config._attn_implementation = "eager"
    return config


def _old_rope(settings: dict, default: transformers.PretrainedConfig) -> dict:
    """Rotary positions under the names of transformers 4, which would silently ignore those of 5,
    `rope_parameters`; these are given for each kind of layer where there are several."""
    rope = settings.get("rope_parameters")
    if not rope or hasattr(default, "rope_parameters"):
        return {}
    neox = hasattr(default, "rotary_pct")  # which calls them by names of its own
    whole = dict(rope.get("full_attention", rope))
    found = {"rotary_emb_base" if neox else "rope_theta": whole.pop("rope_theta", 10_000.0)}
    if local := rope.get("sliding_attention"):
        found["rope_local_base_freq"] = local["rope_theta"]
        if local.get("rope_type", "default") != "default":  # for which 4 has no name
            found["rope_local_scaling"] = local
    if "partial_rotary_factor" in whole:
        name = "rotary_pct" if neox else "partial_rotary_factor"
        found[name] = whole.pop("partial_rotary_factor")
    if whole.get("rope_type", "default") != "default":
        found["rope_scaling"] = whole
    return found


def load_tokenizer(folder: Path):
    """The tokenizer as AutoTokenizer opens it, set to keep all spaces when decoding. QlabError if
    there is none."""
    if not any((folder / name).is_file() for name in WORDS):
        raise QlabError(f"{folder} has no tokenizer, none of {', '.join(WORDS)}; get it whole.")
    path, more = folder / "tokenizer_config.json", {}
    settings = read_json(path) if path.is_file() else {}
    kind = transformers.AutoTokenizer
    # transformers 5 names a class that 4 does not have, and lists what 4 wants by name.
    if not hasattr(transformers, settings.get("tokenizer_class") or "AutoTokenizer"):
        kind = transformers.PreTrainedTokenizerFast
    if isinstance(settings.get("extra_special_tokens"), list):
        more["extra_special_tokens"] = {}
    plain = {"local_files_only": True, "clean_up_tokenization_spaces": False}
    return kind.from_pretrained(folder, **plain, **more)


def read_json(path: Path) -> dict:
    """A JSON object from a file; QlabError where it holds none."""
    try:
        return {**json.loads(path.read_text(encoding="utf-8"))}
    except (ValueError, TypeError) as error:
        raise QlabError(f"{path} holds no JSON object ({error}); get it again.") from error


def quantized(config: transformers.PretrainedConfig) -> bool:
    """Whether the folder's linear layers are stored quantized."""
    return getattr(config, "quantization_config", None) is not None


def context(config: transformers.PretrainedConfig) -> int:
    """Tokens that the model can read at once; 2,048 where its configuration sets no limit."""
    return getattr(config, "max_position_embeddings", None) or 2048


class Weights:
    """The tensors of a folder's safetensors file or shards; `files` gives the file that holds a
    tensor and its name there. QlabError: a file is missing or truncated."""

    def __init__(self, folder: Path):
        self.folder, self.files = folder, {}
        names, index = {WEIGHTS}, folder / INDEX
        if index.is_file():
            names = set(read_json(index).get("weight_map", {}).values())
        for path in (folder / Path(name).name for name in sorted(names)):  # never from elsewhere
            try:
                with safe_open(path, "pt") as file:
                    self.files |= {name: (path, name) for name in file.keys()}  # noqa: SIM118
            except (SafetensorError, FileNotFoundError) as error:
                raise QlabError(
                    f"{path} is no whole safetensors file ({error}); get the whole folder again, "
                    "without pickles (.bin), which can run any code and are never read."
                ) from error

    def read(self, name: str) -> torch.Tensor:
        """A copy of one tensor as stored: a file left mapped would stay in resident memory."""
        if name not in self.files:
            raise QlabError(f"The weights in {self.folder} lack the tensor {name}; get them again.")
        path, stored = self.files[name]
        with safe_open(path, "pt") as file:
            return file.get_tensor(stored).clone()


def from_gguf(file: Path) -> Path:
    """A float32 folder of a GGUF file's dequantized weights and its tokenizer, made once; QlabError
    for a file that is not GGUF, or of a family that transformers does not read from GGUF."""
    recipe = {"file": cache.file_sha256(file), "code": cache.code_sha256(__name__)}
    recipe["versions"] = cache.versions("transformers", "gguf")

    def make(target: Path) -> None:
        from gguf import GGUFReader

        disable_progress_bar()
        named = {"gguf_file": file.name, "torch_dtype": torch.float32}
        try:
            parts = GGUFReader(file)
            model = transformers.AutoModelForCausalLM.from_pretrained(file.parent, **named)
        except (ValueError, LookupError, NotImplementedError) as error:
            why = f"{file} could not be read as a GGUF file of a causal decoder: {error}. Get it"
            raise QlabError(f"{why} again, or give the folder it was made from.") from error
        model.save_pretrained(target / "model")
        _tokenizer(file, parts.fields).save_pretrained(target / "model")
        kinds = Counter(tensor.tensor_type.name for tensor in parts.tensors)
        (target / KINDS).write_text(", ".join(kind for kind, _ in kinds.most_common()))

    return cache.artefact("gguf", recipe, make) / "model"


def _tokenizer(file: Path, fields: dict) -> transformers.PreTrainedTokenizerFast:
    """The file's tokenizer, with a beginning-of-text token if the file asks for one: transformers
    may or may not add it, uses it as end token too, and does not split digits as SmolLM does."""
    words = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    inside = words.backend_tokenizer
    said = {name.removeprefix("tokenizer.ggml."): one.contents() for name, one in fields.items()}
    special = {n: inside.id_to_token(said[i]) for n, i in SPECIAL.items() if i in said}
    inside.post_processor = None
    if said.get("add_bos_token", said["model"] == "llama") and "bos_token" in special:
        begin = special["bos_token"]
        ends = [(begin, said["bos_token_id"])]
        inside.post_processor = processors.TemplateProcessing(f"{begin} $A", None, ends)
    if said.get("pre") == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        inside.pre_tokenizer = pre_tokenizers.Sequence([digits, inside.pre_tokenizer])
    # Without token types, which `generate` of a decoder refuses.
    more = {"model_input_names": ["input_ids", "attention_mask"], **special}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inside, **more)


def split_bytes(*folders: Path) -> dict[str, int]:
    """Bytes by part over all safetensors files of the folders (a model's, an adapter's): `scales`
    is what goes with quantized weights, `container` the headers and JSON for loaders."""
    found = dict.fromkeys(PARTS, 0)
    for folder in folders:
        files = list(folder.glob("*.safetensors"))
        stored = files + [folder / name for name in _JSON if (folder / name).is_file()]
        found["container"] += sum(file.stat().st_size for file in stored)
        for file in files:
            with safe_open(file, "pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118
                    size = tensors.get_tensor(name).nbytes  # of the memory map: nothing is read
                    part = "embedding" if any(n in name for n in _EMBEDDINGS) else "body"
                    found["scales" if name.endswith(_SCALES) else part] += size
                    found["container"] -= size
    return found
