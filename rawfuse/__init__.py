"""The FUSE protocol of the Linux kernel, spoken without libfuse."""

from rawfuse._version import __version__

__all__ = ["__version__"]
