"""The mutable tree: nodes loaded on first use, changed in memory, committed together."""
