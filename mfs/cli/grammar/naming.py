"""Keys and names: `key`, `name`."""

from __future__ import annotations

from mfs.cli.grammar.common import Commands, tree_command

__all__ = ["declare"]

_KEY = """\
Make, list, rename, remove, give out or take in Ed25519 keys. A key is a name (k51...) for a tree that you can change:
in a mount .mfs/ipns/k51..., or what `mfs mount --ipns DIR` shows at DIR, where `local` leads to the key called self,
else to the first one. After each commit that changed such a tree a record of its CID is signed and kept in names/ in
the repository. Keys are in keys/ there, each readable by its owner alone: who has a key can publish under its name.
"""

_KEY_EPILOG = """\
actions:
  gen NAME             a new key, to be called NAME; its name k51... is printed
  ls                   what each is called, its name, and the CID of its tree
  rename NAME NEW
  rm NAME              for good; its tree has to be empty
  export NAME [FILE]   as `ipfs key export` writes it, for `mfs key import` and `ipfs key import` (default: NAME.key)
  import NAME FILE     what one of the two wrote

examples:
  mfs key gen self && cp -r site /mnt/mfs/.mfs/ipns/local/
  mfs key ls
  mfs key export self backup.key

On another machine: mfs key import self backup.key, mfs import its tree, then mfs name import its last record, so that
the tree is there, and what is published next counts as newer.
"""

_NAME = """\
Publish what keys lead to, and say what names lead to. There is no network here: records are files, checked against the
key that the name is (IPNS records, version 1 and 2), and good until the time they say: 48 hours after they were signed;
a mount renews its own. What others have named is in a mount too: .mfs/ipns/k51... is a link to what its record says.
"""

_NAME_EPILOG = """\
actions:
  publish [KEY] [--to DIR]   commit, and sign what each key, or one, leads to; with --to also into files in DIR
  resolve NAME               what a key, or any name whose record is here, leads to
  export NAME [FILE]         the record as a file (default: k51....ipns-record), for whoever serves or imports it
  import [NAME] FILE         a record that somebody exported; NAME where the file is not called k51....ipns-record
  rm NAME                    forget the record of somebody else's name

examples:
  mfs name publish --to /var/www/ipns
  mfs name resolve self
  mfs name export self record && ipfs name put $(mfs key ls | cut -f2) record
  ipfs name get k51... > record && mfs name import k51... record
"""


def declare(commands: Commands) -> None:
    """Add the commands to the parser."""
    key = tree_command(commands, "key", "mfs.cli.naming:key", help="keys for names", about=_KEY, more=_KEY_EPILOG)
    key.usage = "mfs key [--repo DIR] [--json] ACTION [NAME [FILE]]"
    key.add_argument("--json", action="store_true", help="one JSON object a line")
    of_keys = ("gen", "ls", "list", "rename", "rm", "export", "import")
    key.add_argument("action", metavar="ACTION", choices=of_keys, help="see below")
    key.add_argument("name", metavar="NAME", nargs="?", help="what the key is called")
    key.add_argument("file", metavar="FILE", nargs="?", help="where it is, or goes to")

    name = tree_command(
        commands, "name", "mfs.cli.naming:name", help="what names lead to", about=_NAME, more=_NAME_EPILOG
    )
    name.usage = "mfs name [--repo DIR] [--json] ACTION [NAME [FILE]] [--to DIR]"
    name.add_argument("--json", action="store_true", help="one JSON object a line")
    name.add_argument("--to", metavar="DIR", help="where records are written as well, as NAME.ipns-record")
    of_names = ("publish", "resolve", "import", "export", "rm")
    name.add_argument("action", metavar="ACTION", choices=of_names, help="see below")
    name.add_argument("name", metavar="NAME", nargs="?", help="a name, or what a key is called")
    name.add_argument("file", metavar="FILE", nargs="?", help="where the record is, or goes to")
