"""The control socket: how commands reach a repository that a server holds, and do without one where nobody does.

The process that holds a repository listens on ``REPO/control``.  :func:`mfs.control.reach.reached` finds it, or opens
the repository here; either way the operations are those of :mod:`mfs.operations`.
"""
