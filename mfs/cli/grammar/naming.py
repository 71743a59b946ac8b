"""Keys and names: `key`, `name`."""

from __future__ import annotations

from mfs.cli.grammar.common import Commands, tree_command

__all__ = ["declare"]

_KEY = """\
Make, list, remove, give out or take in Ed25519 keys. A key is a name (k51...) for a tree that you can change: in a
mount it is .mfs/ipns/k51..., or what `mfs mount --ipns DIR` shows at DIR, where `local` leads to the key called self.
Each commit that changes such a tree signs a record of its CID, which is kept in names/ in the repository.
"""

_KEY_EPILOG = """\
examples:
  mfs key gen self                      a new key; its name is printed
  mfs key list                          what each is called, its name, and the CID of its tree
  mfs key export self backup.key        as `ipfs key export` writes it, for `mfs key import` and `ipfs key import`
  mfs key import other other.key
  mfs key rm other                      its tree has to be empty; the key is gone for good

Who has a key can publish under its name: the files keys/* in the repository are readable by their owner alone.
"""

_NAME = """\
Publish what keys lead to, and say what names lead to. There is no network here: records are files, checked against
the key that the name is, and good until the time they say (48 hours after they were signed; a mount renews its own).
"""

_NAME_EPILOG = """\
examples:
  mfs name publish                      commit, and sign what every key leads to now
  mfs name resolve self                 what a key, or any name whose record is here, leads to
  mfs name export self                  the record as a file k51....ipns-record, for whoever serves or imports it
  mfs name import k51....ipns-record    somebody's record: .mfs/ipns/k51... leads to what it says
  mfs name import k51... FILE           the same, where the file is called otherwise
"""


def declare(commands: Commands) -> None:
    """Add the commands to the parser."""
    key = tree_command(commands, "key", "mfs.cli.naming:key", help="keys for names", about=_KEY, more=_KEY_EPILOG)
    key.add_argument("--json", action="store_true", help="one JSON object a line")
    key.add_argument("action", metavar="ACTION", choices=("gen", "list", "rm", "export", "import"), help="see above")
    key.add_argument("name", metavar="NAME", nargs="?", help="what the key is called")
    key.add_argument("file", metavar="FILE", nargs="?", help="where it is, or goes to (default: NAME.key)")

    name = tree_command(
        commands, "name", "mfs.cli.naming:name", help="what names lead to", about=_NAME, more=_NAME_EPILOG
    )
    name.add_argument("--json", action="store_true", help="one JSON object a line")
    name.add_argument("action", metavar="ACTION", choices=("publish", "resolve", "import", "export"), help="see above")
    name.add_argument("name", metavar="NAME", nargs="?", help="a name, or what a key is called (default: every key)")
    name.add_argument("file", metavar="FILE", nargs="?", help="where the record is, or goes to")
