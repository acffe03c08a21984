"""The sentences of notebook 00, made from its records."""

import pandas as pd

from qlab.core.records import interval, pick, value


def findings(table: pd.DataFrame) -> list[str]:
    """What the records say, in the order of the notebook."""
    return [_halving(table), _scales(table), _clipping(table), _outputs(table), _ranges(table),
            _training(table), _gptq(table), _two_bits(table)]  # fmt: skip


def _weights(table: pd.DataFrame, variant: str) -> str:
    found = value(table, variant, "weight_error")
    return f"{found:.{1 if found >= 0.01 else 2}%}"


def _outputs_of(table: pd.DataFrame, variant: str) -> str:
    row = pick(table, "output_error", variant=variant).iloc[0]
    return interval(row, ".1%")


def _halving(table: pd.DataFrame) -> str:
    many, few = (value(table, f"rtn_w{b}_sym_channel", "weight_error") for b in (8, 4))
    return (
        f"Each bit less makes the error of the weights {(few / many) ** 0.25:.1f} times as large: "
        f"with one scale a channel they are off by {_weights(table, 'rtn_w8_sym_channel')} at 8 "
        f"bits and by {_weights(table, 'rtn_w4_sym_channel')} at 4."
    )


def _scales(table: pd.DataFrame) -> str:
    return (
        f"One scale for the whole tensor makes it {_weights(table, 'rtn_w4_sym_tensor')} at 4 "
        f"bits; a zero-point as well as a scale for each channel, "
        f"{_weights(table, 'rtn_w4_asym_channel')}."
    )


def _clipping(table: pd.DataFrame) -> str:
    two, eight = (f"rtn_w{bits}_sym_tensor_clipped" for bits in (2, 8))
    return (
        f"At 2 bits it is best to keep {value(table, two, 'best_clip'):.0%} of the range (weights "
        f"off by {_weights(table, two)} instead of {_weights(table, 'rtn_w2_sym_tensor')}), at 8 "
        f"bits {value(table, eight, 'best_clip'):.0%}."
    )


def _outputs(table: pd.DataFrame) -> str:
    return (
        f"Weights off by {_weights(table, 'rtn_w4_sym_channel')} make outputs off by "
        f"{_outputs_of(table, 'rtn_w4_sym_channel')}: on images, the errors of a filter add up."
    )


def _ranges(table: pd.DataFrame) -> str:
    row = pick(table, "activation_error_ratio", variant="a8_dynamic").iloc[0]
    return (
        f"A range of its own for each image leaves {interval(row, '.2f')} of the error that one "
        f"static range makes of 8-bit outputs ({row['n']} images)."
    )


def _training(table: pd.DataFrame) -> str:
    return (
        "Training with the straight-through gradient takes the outputs' error at 3 bits from "
        f"{_outputs_of(table, 'rtn_w3_sym_channel')} to "
        f"{_outputs_of(table, 'ste_w3_sym_channel')}, GPTQ to "
        f"{_outputs_of(table, 'gptq_w3_sym_channel')}."
    )


def _gptq(table: pd.DataFrame) -> str:
    name = "{}_w4_sym_channel".format
    weights, outputs = (
        [read(table, name(method)) for method in ("rtn", "gptq")]
        for read in (_weights, _outputs_of)
    )
    return (
        f"At 4 bits GPTQ moves the weights from {weights[0]} to {weights[1]} off, and the outputs "
        f"from {outputs[0]} to {outputs[1]}."
    )


def _two_bits(table: pd.DataFrame) -> str:
    zero = value(table, "rtn_w2_sym_channel", "zero_share")
    return (
        f"At 2 bits rounding makes {zero:.0%} of the weights 0 and leaves outputs off by "
        f"{_outputs_of(table, 'rtn_w2_sym_channel')}, where a layer that always answers 0 is off "
        f"by 100%; with GPTQ it is {_outputs_of(table, 'gptq_w2_sym_channel')}."
    )
