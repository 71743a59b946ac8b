"""What can be said on the command line: one module for each subject, importing nothing but argparse.

Each has a function that adds its commands to the parser; :data:`mfs.cli.command.SUBJECTS` lists them in the order in
which `mfs --help` shows them.
"""
