"""What a model folder says of itself: configuration and tokenizer, checked before work starts."""

from pathlib import Path
from typing import TYPE_CHECKING

from qlab.core.errors import QlabError
from qlab.language.weights import Weights, read_json

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase


def check(folder: Path) -> "PretrainedConfig":
    """The configuration of a model folder, once its files were found to be there.

    Reads the headers of the weight files, no weights. QlabError: no folder, not a causal decoder,
    no tokenizer or one with more words than the model, weights missing, cut short or as pickle.
    """
    config = read(folder)
    words = 1 + max(load_tokenizer(folder).get_vocab().values(), default=-1)
    if words > config.vocab_size:
        raise QlabError(
            f"The tokenizer in {folder} has {words} words, the model only {config.vocab_size}; "
            "take both from one place."
        )
    Weights(folder)
    return config


def of_float(folder: Path) -> "PretrainedConfig":
    """As `check`; QlabError for a folder that is quantized already."""
    config = check(folder)
    if quantized(config):
        raise QlabError(f"{folder} is quantized already; give the float model it was made from.")
    return config


def read(folder: Path) -> "PretrainedConfig":
    """config.json of a causal decoder, its attention chosen; QlabError for another model."""
    from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING

    if not folder.is_dir():
        raise QlabError(f"There is no model folder at {folder}; give a local Hugging Face folder.")
    settings = read_json(folder, "config.json")
    kind, named = settings.get("model_type"), settings.get("architectures")
    if kind not in CONFIG_MAPPING:
        own = "code of its own, which is never run" if "auto_map" in settings else "another version"
        raise QlabError(
            f"{folder} holds a model of type {kind!r}, which the installed transformers does not "
            f"know: it needs {own}. Take a model whose family transformers has."
        )
    known = CONFIG_MAPPING[kind]
    model = MODEL_FOR_CAUSAL_LM_MAPPING.get(known, None)
    if model is None or (named and model.__name__ not in named) or kind == "gemma3":
        raise QlabError(
            f"{folder} holds {(named or [kind])[0]!r}; this experiment takes causal decoders with "
            "their head, such as LlamaForCausalLM, Qwen3ForCausalLM or GPT2LMHeadModel."
        )
    try:
        default = known()
        rope = _old_rope(settings, default)
        config = known.from_dict(settings | rope)
        if any(not hasattr(default, n) or getattr(config, n) != rope[n] for n in rope):
            raise ValueError(f"rope_parameters {settings['rope_parameters']}")
    except (ValueError, TypeError, KeyError) as error:
        raise QlabError(
            f"{folder / 'config.json'} says what the installed transformers cannot read ({error}); "
            "it was perhaps written by a newer one."
        ) from error
    # PyTorch's own attention leaves out the soft cap that Gemma 2 puts on its scores.
    if getattr(config, "attn_logit_softcapping", None):
        config._attn_implementation = "eager"
    return config


def _old_rope(settings: dict, default: "PretrainedConfig") -> dict:
    """Rotary positions in the words of the installed transformers, where others are spoken.

    transformers 5 writes `rope_parameters`, for each kind of layer where there are several; 4 reads
    `rope_theta` and `rope_scaling`, and would pass over the new spelling without a word.
    """
    rope = settings.get("rope_parameters")
    if not rope or hasattr(default, "rope_parameters"):
        return {}
    neox = hasattr(default, "rotary_pct")  # which calls them by names of its own
    whole = dict(rope.get("full_attention", rope))
    found = {"rotary_emb_base" if neox else "rope_theta": whole.pop("rope_theta", 10_000.0)}
    if local := rope.get("sliding_attention"):
        found["rope_local_base_freq"] = local["rope_theta"]
        if local.get("rope_type", "default") != "default":
            raise ValueError(f"rope_parameters {rope}")
    if "partial_rotary_factor" in whole:
        name = "rotary_pct" if neox else "partial_rotary_factor"
        found[name] = whole.pop("partial_rotary_factor")
    if whole.get("rope_type", "default") != "default":
        found["rope_scaling"] = whole
    return found


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer as AutoTokenizer opens it, which takes no space away before a full stop when
    decoding; code that a folder brings is never run."""
    import transformers

    files = ("tokenizer.json", "tokenizer.model", "vocab.json")
    if not any((folder / name).is_file() for name in files):
        read_json(folder, files[0], "its model cannot be given text")
    path, more = folder / "tokenizer_config.json", {}
    settings = read_json(folder, path.name) if path.is_file() else {}
    kind = transformers.AutoTokenizer
    # transformers 5 names a class that 4 does not have, and lists what 4 wants by name.
    if not hasattr(transformers, settings.get("tokenizer_class") or "AutoTokenizer"):
        kind = transformers.PreTrainedTokenizerFast
    if isinstance(settings.get("extra_special_tokens"), list):
        more["extra_special_tokens"] = {}
    return kind.from_pretrained(
        folder, local_files_only=True, clean_up_tokenization_spaces=False, **more
    )


def quantized(config: "PretrainedConfig") -> bool:
    """Whether the folder's linear layers are stored quantized."""
    return getattr(config, "quantization_config", None) is not None


def context(config: "PretrainedConfig") -> int:
    """Tokens that the model can read at once; 2,048 where its configuration sets no limit."""
    return getattr(config, "max_position_embeddings", None) or 2048
