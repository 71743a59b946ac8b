"""Attributes and extended attributes."""
