"""The version of the distribution: one for `rawfuse`, `mfs` and the installed tools."""

__version__ = "0.1.0"
