"""Keys and names: `key`, `name`, each with commands of its own."""

from __future__ import annotations

import argparse
from typing import NamedTuple

from mfs.cli.grammar.common import Commands, repository_option, subparser

__all__ = ["declare"]

_KEY = """\
Make, list, rename, remove, give out or take in Ed25519 keys. A key is a name (k51...) for a tree that you can change:
in a mount .mfs/ipns/k51..., or what `mfs mount --ipns DIR` shows at DIR, where `local` leads to the key called self,
else to the first one; in commands /ipns/k51.... After each commit that changed such a tree a record of its CID is
signed and kept in names/ in the repository. Keys are in keys/ there, each readable by its owner alone: who has a key
can publish under its name.
"""

_KEY_EPILOG = """\
examples:
  mfs key gen self                          a new key; its name is printed
  mfs add -r --to /ipns/local site
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
examples:
  mfs name publish --to /var/www/ipns
  mfs name resolve self
  mfs name export self record && ipfs name put k51... record
  ipfs name get k51... > record && mfs name import k51... record
"""


class _Argument(NamedTuple):
    name: str
    metavar: str
    help: str
    needed: bool = True


class _Action(NamedTuple):
    name: str
    about: str
    arguments: tuple[_Argument, ...] = ()


_CALLED = _Argument("called", "NAME", "what the key is called")

_OF_KEYS = (
    _Action("gen", "make a key, and print its name", (_CALLED,)),
    _Action("ls", "list the keys: what each is called, its name, and the CID of its tree, with tabs between"),
    _Action("rename", "call a key otherwise", (_CALLED, _Argument("new", "NEW", "what it is to be called"))),
    _Action("rm", "forget a key for good; its tree has to be empty", (_CALLED,)),
    _Action(
        "export",
        "write a key to a new file, as `ipfs key export` does",
        (_CALLED, _Argument("file", "FILE", "the file (default: NAME.key)", needed=False)),
    ),
    _Action(
        "import",
        "take in a key that `mfs key export` or `ipfs key export` wrote",
        (_CALLED, _Argument("file", "FILE", "the file")),
    ),
)

_WHICH = _Argument("name", "NAME", "a name, k51... or a peer id, or what a key is called")

_OF_NAMES = (
    _Action(
        "publish",
        "commit, and sign what each key, or one, leads to",
        (_Argument("name", "KEY", "what it is called (default: every key)", needed=False),),
    ),
    _Action("resolve", "say what a key, or any name whose record is here, leads to", (_WHICH,)),
    _Action(
        "export",
        "write the record of a name to a new file, for whoever serves or imports it",
        (_WHICH, _Argument("file", "FILE", "the file (default: k51....ipns-record)", needed=False)),
    ),
    _Action(
        "import",
        "take in a record that somebody exported: mfs name import [NAME] FILE",
        (
            _Argument("name", "NAME", "whose it is, where the file is not called k51....ipns-record"),
            _Argument("file", "FILE", "the file", needed=False),
        ),
    ),
    _Action("rm", "forget the record of somebody else's name", (_WHICH,)),
)


def declare(commands: Commands) -> None:
    """Add the commands to the parser."""
    key = subparser(commands, "key", help="keys for names", about=_KEY, more=_KEY_EPILOG)
    _actions(key, "mfs.cli.naming:key", _OF_KEYS)
    name = subparser(commands, "name", help="what names lead to", about=_NAME, more=_NAME_EPILOG)
    made = _actions(name, "mfs.cli.naming:name", _OF_NAMES)
    made["publish"].add_argument("--to", metavar="DIR", help="write the records into DIR as well, as NAME.ipns-record")
    made["import"].usage = "mfs name import [--repo DIR] [--json] [NAME] FILE"


def _actions(
    command: argparse.ArgumentParser, handler: str, actions: tuple[_Action, ...]
) -> dict[str, argparse.ArgumentParser]:
    below = command.add_subparsers(metavar="ACTION", dest="action", required=True)
    made = {}
    for action in actions:
        parser = made[action.name] = below.add_parser(
            action.name, help=action.about, description=action.about[0].upper() + action.about[1:] + "."
        )
        parser.set_defaults(handler=handler)
        repository_option(parser)
        parser.add_argument("--json", action="store_true", help="one JSON object a line")
        for argument in action.arguments:
            nargs = None if argument.needed else "?"
            parser.add_argument(argument.name, metavar=argument.metavar, nargs=nargs, help=argument.help)
    return made
