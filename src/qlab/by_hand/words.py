"""The sentences of notebook 00, made from its records."""

import pandas as pd

from qlab.by_hand.measure import named
from qlab.core.records import interval, pick, value


def findings(table: pd.DataFrame) -> list[str]:
    """What the records say, in the order of the notebook."""

    def weights(method: str, bits: int, grid: str = "sym_channel") -> str:
        found = value(table, named(method, bits, grid), "weight_error")
        return f"{found:.{1 if found >= 0.01 else 2}%}"

    def outputs(method: str, bits: int) -> str:
        rows = pick(table, "output_error", variant=named(method, bits, "sym_channel"))
        return interval(rows.iloc[0], ".1%")

    clipped = "sym_tensor_clipped"
    two, eight = (value(table, named("rtn", bits, clipped), "best_clip") for bits in (2, 8))
    many, few = (value(table, named("rtn", b, "sym_channel"), "weight_error") for b in (8, 4))
    zero = value(table, named("rtn", 2, "sym_channel"), "zero_share")
    ratio = pick(table, "activation_error_ratio", variant="a8_dynamic").iloc[0]
    return [
        f"Each bit less makes the error of the weights {(few / many) ** 0.25:.1f} times as large: "
        f"with one scale a channel they are off by {weights('rtn', 8)} at 8 bits and by "
        f"{weights('rtn', 4)} at 4.",
        f"One scale for the whole tensor makes it {weights('rtn', 4, 'sym_tensor')} at 4 bits; a "
        f"zero-point as well as a scale for each channel, {weights('rtn', 4, 'asym_channel')}.",
        f"At 2 bits it is best to keep {two:.0%} of the range (weights off by "
        f"{weights('rtn', 2, clipped)} instead of {weights('rtn', 2, 'sym_tensor')}), at 8 bits "
        f"{eight:.0%}.",
        f"Weights off by {weights('rtn', 4)} make outputs off by {outputs('rtn', 4)}: on images, "
        "the errors of a filter add up.",
        f"A range of its own for each image leaves {interval(ratio, '.2f')} of the error that one "
        f"static range makes of 8-bit outputs ({ratio['n']} images).",
        "Training with the straight-through gradient takes the outputs' error at 3 bits from "
        f"{outputs('rtn', 3)} to {outputs('ste', 3)}, GPTQ to {outputs('gptq', 3)}.",
        f"At 4 bits GPTQ moves the weights from {weights('rtn', 4)} to {weights('gptq', 4)} off, "
        f"and the outputs from {outputs('rtn', 4)} to {outputs('gptq', 4)}.",
        f"At 2 bits rounding makes {zero:.0%} of the weights 0 and leaves outputs off by "
        f"{outputs('rtn', 2)}, where a layer that always answers 0 is off by 100%; with GPTQ it is "
        f"{outputs('gptq', 2)}.",
    ]
