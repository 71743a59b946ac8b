"""Where blocks are kept.

Rooms: `interface` (what a store does), `store` (the embedded store), made of `segments` (files of bytes; `appender`,
`segment_file` and `shelf` are their parts), `index` (LMDB: from a multihash to an inline block or to pieces of
segments) and `pieces` (what "a piece of a segment" is); `memory` (a store without a disk, for tests); `errors`.
"""
