"""What everything else stands on; it imports nothing else of qlab.

Numbers: `records` (start here), `items`, `parameters`, `stats`, `timing`, `provenance`. Files:
`paths`, `cache` (made once), `closure` (the code that a cached file depends on). Runs: `processes`,
`progress`, `quiet`, `secrets`, `errors`. Pictures: `plot`, `live`.
"""
