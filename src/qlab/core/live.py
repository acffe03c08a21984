"""Pictures that follow controls, and stay still where no front end draws widgets."""

import base64
import html
import io
import re
from collections.abc import Callable, Sequence

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from qlab.core.errors import QlabError


def follow(show: Callable[..., tuple[str, Figure | None]], controls: Sequence):
    """A box with the controls (ipywidgets), then a text and an image that follow them.

    `show` is called with the controls' values and returns a text (HTML) and a figure, which is
    closed here, or None; a QlabError is shown as text. A page without widgets (GitHub, nbconvert)
    shows text and picture as they were when the box was displayed.
    """
    text, image = ipywidgets.HTML(), ipywidgets.Image(format="png")

    def update(_=None) -> None:
        try:
            text.value, canvas = show(*(control.value for control in controls))
        except QlabError as error:
            text.value, canvas = html.escape(str(error), quote=False), None
        canvas = canvas or plt.figure(figsize=(6, 0.3))  # an empty, low one
        drawn = io.BytesIO()
        canvas.savefig(drawn, format="png", dpi=100, metadata={"Software": None})
        plt.close(canvas)  # or a notebook would show it again
        image.value = drawn.getvalue()

    class Following(ipywidgets.VBox):
        """A box that also carries a still picture for pages without widgets."""

        def _repr_mimebundle_(self, **kwargs):
            plain = html.unescape(re.sub("</?b>", "", text.value.replace("<br>", "\n")))
            still = base64.b64encode(image.value).decode()
            both = {"text/plain": plain, "image/png": still}
            return super()._repr_mimebundle_(**kwargs) | both

    for control in controls:
        control.style.description_width = "initial"  # as wide as the text needs
        control.continuous_update = False  # of a slider: drawing takes time
        control.observe(update, "value")
    update()
    return Following([*controls, text, image])
