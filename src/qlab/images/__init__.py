"""Images that several experiments share.

`photos` reads them, `labelled` holds images with a class each, `shapes` draws, `shapes32` is a
data set of drawn ones, `corruptions` spoils images.
"""
