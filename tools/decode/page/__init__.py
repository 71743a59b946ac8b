"""A trace as one page for a browser: timeline, list, fields over bytes. It loads nothing."""

from .build import write_page

__all__ = ["write_page"]
