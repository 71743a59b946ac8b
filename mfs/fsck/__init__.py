"""Checking a repository, and mending it.

Every block is read and held against its CID, every reference is followed, the UnixFS tree is held against the metadata
map, names, links and entries are counted, the log is played.  What is wrong is said with the paths and bytes it costs.
`mend` says what is done about it.
"""

from mfs.fsck.check import check
from mfs.fsck.report import CLEAN, CORRECTED, OPERATIONAL, UNCORRECTED, Finding, Report

__all__ = ["CLEAN", "CORRECTED", "OPERATIONAL", "UNCORRECTED", "Finding", "Report", "check"]
