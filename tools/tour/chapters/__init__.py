"""The chapters, in order."""

from __future__ import annotations

from . import copying, ending, listing, mapping, mounting, reading, renaming, writing

__all__ = ["CHAPTERS"]

CHAPTERS = (
    mounting.CHAPTER,
    listing.CHAPTER,
    reading.CHAPTER,
    writing.CHAPTER,
    copying.CHAPTER,
    renaming.CHAPTER,
    mapping.CHAPTER,
    ending.CHAPTER,
)
