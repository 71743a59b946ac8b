"""Commits: a point in time, hashed into the tree, made durable, and what follows from it."""
