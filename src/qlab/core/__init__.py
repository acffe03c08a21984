"""What every room stands on, and imports no room itself.

Numbers: `records` (start here), `items`, `parameters`, `stats`, `places`, `timing`, `provenance`.
Files: `paths`, `cache`, `fetch`, `hub`, `disk`. Models and data: `embedded`, `tflite_graph`,
`litert`, `tf`, `shapes32`, `labelled_images`, `images`, `corruptions`. Pictures: `plot`, `live`.
"""
