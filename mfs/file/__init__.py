"""A file while it is written: committed leaves, and new ones as extents of segments."""
