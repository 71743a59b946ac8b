"""File systems to read and to start from: `hello`, `memory` and `passthrough`.

Each is mounted by `rawfuse mount rawfuse.examples.NAME:CLASS DIR`.
"""
