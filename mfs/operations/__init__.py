"""What can be done with a repository besides mounting it: one table of operations on a :class:`~mfs.volume.Volume`.

Each is an ``async`` function that takes a :class:`~mfs.operations.session.Session` and its own arguments.  Whoever
holds the repository performs it: a server that was asked through its control socket, or the command itself.
"""
