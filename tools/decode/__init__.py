"""Reading traces: one line a message, fields over their bytes, statistics, JSON."""
