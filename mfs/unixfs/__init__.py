"""UnixFS: files, directories and symlinks as immutable blocks named by their hash.

Pure functions; blocks come and go through a ``get(cid) -> bytes`` and a ``put(cid, block)`` that the caller gives.
What is built is byte-identical to what kubo builds for the same import profile (IPIP-499), so equal content has an
equal CID wherever it was made.

Rooms: `cid` (names of blocks), `dagpb` (the node container), `data` (the UnixFS message in it), `profile` (chunk size,
width, CID version), `layout` (files to blocks), `nodes` and `reader` (blocks to files), `hamt` and `directory`
(directories both ways), `symlink`, `metadata` (mode and mtime kept in the blocks), `errors`.
"""
