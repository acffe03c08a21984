"""What every room stands on; it imports no room itself.

Numbers: `records` (start here), `items`, `parameters`, `stats`, `places` (first layers against
last), `timing`, `provenance`. Files: `paths`, `cache` (made once), `closure` (the code that a
cached file depends on), `fetch`, `hub`, `disk`, `take`. Models and data: `embedded`,
`tflite_graph`, `litert`, `tf`, `keras`, `shapes`, `shapes32`, `labelled_images`, `images`,
`corruptions`. Runs: `processes`, `progress`, `quiet`, `secrets`, `errors`. Pictures: `plot`,
`live`.
"""
