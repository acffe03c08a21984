"""What every box of an explore section must do."""


def moves(box, changes: dict) -> None:
    """Each control, named by its description, changes text or picture when it is moved."""
    controls = {c.description: c for c in box.children[:-2]}
    for name, other in changes.items():
        before = shown(box)
        assert controls[name].value != other, name
        controls[name].value = other
        assert shown(box) != before, name
    assert set(controls) == set(changes), "a control was not moved"


def shown(box) -> tuple[str, bytes]:
    """Text and picture of a box."""
    *_, text, image = box.children
    assert bytes(image.value).startswith(b"\x89PNG")
    return text.value, bytes(image.value)


def stands_still(box) -> None:
    """A page without widgets gets the text, without markup, and the picture."""
    bundle = box._repr_mimebundle_()
    bundle = bundle[0] if isinstance(bundle, tuple) else bundle
    assert bundle["image/png"].startswith("iVBOR")
    assert bundle["text/plain"].strip() and "<b" not in bundle["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in bundle
