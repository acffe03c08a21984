"""Pictures that follow controls, and stand still where no front end draws widgets."""

import base64
import io
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure


def slider(value: float, low: float, high: float, step: float, description: str):
    """A slider that redraws when it is let go, with room for its description."""
    import ipywidgets as w

    return w.FloatSlider(
        value, min=low, max=high, step=step, description=description,
        style={"description_width": "initial"}, continuous_update=False,
    )  # fmt: skip


def follow(show: Callable[..., tuple[str, Figure]], controls: Sequence):
    """An ipywidgets box of the controls, then a text and an image that follow them.

    `show` is called with the controls' values, in their order, and returns a text (HTML) and a
    figure; the figure is closed here. A page without widgets (GitHub, nbconvert) shows the text
    and the picture of the box's state when it was displayed.
    """
    import ipywidgets as w

    text, image = w.HTML(), w.Image(format="png")

    def update(_=None) -> None:
        text.value, canvas = show(*(control.value for control in controls))
        image.value = png(canvas)

    class Following(w.VBox):
        """A box that also carries a still picture for pages without widgets."""

        def _repr_mimebundle_(self, **kwargs):
            still = {"text/plain": text.value, "image/png": base64.b64encode(image.value).decode()}
            return super()._repr_mimebundle_(**kwargs) | still

    for control in controls:
        control.observe(update, "value")
    update()
    return Following([*controls, text, image])


def png(canvas: Figure) -> bytes:
    """The figure as PNG with repeatable bytes; it is closed, or a notebook would show it again."""
    target = io.BytesIO()
    canvas.savefig(target, format="png", dpi=100, metadata={"Software": None})
    plt.close(canvas)
    return target.getvalue()
