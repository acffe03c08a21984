"""Pictures that follow controls, and stand still where no front end draws widgets."""

import base64
import html
import io
import re
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from qlab.core.errors import QlabError


def _control(kind: str, description: str, **options):
    import ipywidgets

    style = {"description_width": "initial"}  # as much room as it takes
    return getattr(ipywidgets, kind)(description=description, style=style, **options)


def slider(value: float, low: float, high: float, step: float, description: str):
    """A slider over a range."""
    reach = {"value": value, "min": low, "max": high, "step": step}
    return _control("FloatSlider", description, continuous_update=False, **reach)


def counter(value: int, high: int, description: str):
    """A slider over 1 to `high`."""
    reach = {"value": value, "min": 1, "max": max(high, 1)}
    return _control("IntSlider", description, continuous_update=False, **reach)


def choice(options: Sequence, description: str, value=None):
    """One of the options; the first where no value is given. Pairs are (what is shown, value)."""
    chosen = {} if value is None else {"value": value}
    return _control("Dropdown", description, options=options, **chosen)


def several(options: Sequence, description: str, value: Sequence):
    """Any number of the options; its value is a tuple of them."""
    return _control("SelectMultiple", description, options=options, value=tuple(value))


def follow(show: Callable[..., tuple[str, Figure]], controls: Sequence):
    """An ipywidgets box of the controls, then a text and an image that follow them.

    `show` is called with the controls' values and returns a text (HTML) and a figure, which is
    closed here; a QlabError is shown as a text. A page without widgets (GitHub, nbconvert) has text
    and picture as they were when the box was displayed.
    """
    import ipywidgets as w

    text, image = w.HTML(), w.Image(format="png")

    def update(_=None) -> None:
        try:
            text.value, canvas = show(*(control.value for control in controls))
        except QlabError as error:
            text.value, canvas = html.escape(str(error), quote=False), nothing()
        drawn = io.BytesIO()
        canvas.savefig(drawn, format="png", dpi=100, metadata={"Software": None})
        plt.close(canvas)  # or a notebook would show it again
        image.value = drawn.getvalue()

    class Following(w.VBox):
        """A box that also carries a still picture for pages without widgets."""

        def _repr_mimebundle_(self, **kwargs):
            plain = html.unescape(re.sub("</?b>", "", text.value.replace("<br>", "\n")))
            still = base64.b64encode(image.value).decode()
            both = {"text/plain": plain, "image/png": still}
            return super()._repr_mimebundle_(**kwargs) | both

    for control in controls:
        control.observe(update, "value")
    update()
    return Following([*controls, text, image])


def nothing() -> Figure:
    """An empty, low picture, for a text that has none."""
    return plt.figure(figsize=(6, 0.3))
