"""What nbval compares when it runs the notebooks again.

Standard error is for people (progress, notes on converted images): its wording
and timing are not results. Everything else must come out the same, unless the
cell itself is tagged `nbval-ignore-output`.
"""


def pytest_collectstart(collector):
    """Add `stderr` to the outputs that nbval does not compare."""
    if collector.fspath and collector.fspath.ext == ".ipynb":
        collector.skip_compare += ("stderr",)


def pytest_itemcollected(item):
    """Let a busy machine take longer than nbval's five seconds to hand on a cell's output."""
    if hasattr(item, "output_timeout"):
        item.output_timeout = 60
