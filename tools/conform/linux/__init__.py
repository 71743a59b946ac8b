"""`rawfuse conform --kernel`: which of the rules that Linux 6.18 holds its servers to the running kernel keeps.

`rules` is the table; `trial` what its trials are made of; `stage` what they play on; `trials` they themselves. The
project's own tests run the same table on the real kernel and on `KernelSession`.
"""
