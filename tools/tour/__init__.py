"""A guided tour of the FUSE protocol: real programs on a real mount, every message that they cause, and why.

`chapters` tell what happens as data; `stage` lets it happen; `matching` holds one against the other; `terminal` and
`page` show the outcome. `exercises` are tasks for the reader, whose server `trial` runs and judges.
"""
