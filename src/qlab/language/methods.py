"""The table of variants: every one's method by name, and what its records say of it."""

import difflib
import json
from pathlib import Path
from typing import NamedTuple

from qlab.core.errors import QlabError
from qlab.language import bnb, gptq
from qlab.language.quantized import Method

OWN: tuple[Method, ...] = ()  # of your own: see CONTRIBUTING.md
# By the variant's name.
QUANTIZERS: dict[str, Method] = {**gptq.METHODS, **bnb.METHODS, **{m.name: m for m in OWN}}
AUTOROUND = "autoround_w2_g64"
# Variant with an adapter trained on top of a quantized one -> that one.
ADAPTED = {f"{name}_lora": name for name in QUANTIZERS}


class About(NamedTuple):
    """Columns of a variant's records."""

    method: str | None  # None: float
    bits: int  # of a weight
    group_size: int | None = None  # weights that share a scale, where the name says so


_FLOAT = {"fp32": 32, "fp16": 16, "bf16": 16}
ABOUT = {
    **{name: About(None, bits) for name, bits in _FLOAT.items()},
    **{name: About(m.kind, m.bits, m.group_size) for name, m in QUANTIZERS.items()},
    AUTOROUND: About("autoround", 2, 64),
}
ABOUT |= {name: ABOUT[base]._replace(method=f"{ABOUT[base].method}_lora")
          for name, base in ADAPTED.items()}  # fmt: skip


def method(name: str) -> Method:
    """The method of a variant's name; QlabError for one that is not there."""
    if name not in QUANTIZERS:
        near = difflib.get_close_matches(name, QUANTIZERS, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise QlabError(
            f"There is no variant {name!r}.{hint} There are gptq_w{{8,4,3,2}}_g{{64,128}}, the "
            f"same with rtn, and {', '.join(_by_config())}."
        )
    return QUANTIZERS[name]


def _by_config() -> dict[str, Method]:
    """The methods whose folders are known by their whole `quantization_config`."""
    return {name: known for name, known in QUANTIZERS.items() if name not in gptq.METHODS}


def stored(settings: dict, folder: Path) -> Method:
    """The method that reads a folder with this `quantization_config`.

    GPTQ folders of other makers are read too, with any group size and column order; QlabError
    for a format that is neither GPTQ's first nor one that qlab writes.
    """
    for known in _by_config().values():
        if settings == json.loads(json.dumps(known.config())):
            return known
    if settings.get("quant_method") == "gptq" and settings.get("checkpoint_format") != "gptq_v2":
        return gptq.RoundToNearest(settings["bits"], settings["group_size"])
    raise QlabError(
        f"{folder} is quantized by {settings.get('quant_method')!r} in a way that qlab does not "
        "read; it reads the first GPTQ format and what it wrote itself."
    )
