"""The files of a model folder: configuration, tokenizer and weights.

Code that it brings is never run, and of weights only safetensors are read, never a pickle.
"""

import json
from pathlib import Path

import torch
import transformers
from safetensors import SafetensorError, safe_open
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, PretrainedConfig

from qlab.core.errors import QlabError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
WORDS = ("tokenizer.json", "tokenizer.model", "vocab.json")  # one of them has a tokenizer's words


def check(folder: Path) -> PretrainedConfig:
    """The configuration of a model folder whose files are there; of weights only headers are read.
    QlabError: see `read`, `load_tokenizer` and `Weights`."""
    config = read(folder)
    load_tokenizer(folder)
    Weights(folder)
    return config


def read(folder: Path, of_float: bool = False) -> PretrainedConfig:
    """config.json of a causal decoder, its attention chosen; QlabError for another model, and where
    it has to be `of_float` for one that is quantized already."""
    file = folder / "config.json"
    settings = read_json(file) if file.is_file() else {}
    kind, named = settings.get("model_type"), settings.get("architectures")
    known = kind in CONFIG_MAPPING and CONFIG_MAPPING[kind]
    model = known and MODEL_FOR_CAUSAL_LM_MAPPING.get(known, None)
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
        raise QlabError(
            f"{file} says what the installed transformers cannot read ({error}); it was perhaps "
            "written by a newer one."
        ) from error
    if of_float and quantized(config):
        raise QlabError(f"{folder} is quantized already; give the float model it was made from.")
    # PyTorch's own attention leaves out the soft cap that Gemma 2 puts on its scores.
    if getattr(config, "attn_logit_softcapping", None):
        config._attn_implementation = "eager"
    return config


def _old_rope(settings: dict, default: PretrainedConfig) -> dict:
    """Rotary positions in the words of transformers 4, which would pass over those of 5,
    `rope_parameters`, for each kind of layer where there are several, without a word."""
    rope = settings.get("rope_parameters")
    if not rope or hasattr(default, "rope_parameters"):
        return {}
    neox = hasattr(default, "rotary_pct")  # which calls them by names of its own
    whole = dict(rope.get("full_attention", rope))
    found = {"rotary_emb_base" if neox else "rope_theta": whole.pop("rope_theta", 10_000.0)}
    if local := rope.get("sliding_attention"):
        found["rope_local_base_freq"] = local["rope_theta"]
        if local.get("rope_type", "default") != "default":  # for which 4 has no word
            found["rope_local_scaling"] = local
    if "partial_rotary_factor" in whole:
        name = "rotary_pct" if neox else "partial_rotary_factor"
        found[name] = whole.pop("partial_rotary_factor")
    if whole.get("rope_type", "default") != "default":
        found["rope_scaling"] = whole
    return found


def load_tokenizer(folder: Path):
    """The tokenizer as AutoTokenizer opens it, which takes no space away when decoding. QlabError:
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


def quantized(config: PretrainedConfig) -> bool:
    """Whether the folder's linear layers are stored quantized."""
    return getattr(config, "quantization_config", None) is not None


def context(config: PretrainedConfig) -> int:
    """Tokens that the model can read at once; 2,048 where its configuration sets no limit."""
    return getattr(config, "max_position_embeddings", None) or 2048


class Weights:
    """The tensors of a folder's safetensors file or shards; `files` says in which one a tensor
    lies, and under which name. QlabError: a file is missing or cut short."""

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
        """One tensor as stored, copied: a file that stays mapped stays in resident memory."""
        if name not in self.files:
            raise QlabError(f"The weights in {self.folder} lack the tensor {name}; get them again.")
        path, stored = self.files[name]
        with safe_open(path, "pt") as file:
            return file.get_tensor(stored).clone()
