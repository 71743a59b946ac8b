"""The command: `rawfuse dissector`, or `python -m tools.dissector` in a checkout."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rawfuse.trace import pcapng

from .generate import ENCAPSULATIONS, dissector

__all__ = ["main"]

DESCRIPTION = """\
Prints a dissector in Lua with which Wireshark and tshark (4.0 and later) open what `rawfuse trace` writes. It is made
from the schemas that the codec is made from: every struct, opcode, flag and notification of protocol 7.45.
"""

EPILOG = """\
Fields are called as the structs and members of fuse_kernel.h, without its prefix: fuse.open_in.flags, fuse.attr.mode;
those of the headers fuse.opcode, fuse.unique, fuse.nodeid, fuse.error (negative, as on the wire). A reply has the
opcode, nodeid, names and path of its request too. More: fuse.name, fuse.newname, fuse.target, fuse.value, fuse.data,
fuse.path (followed through nodeids), fuse.latency, fuse.request_in, fuse.reply_in, fuse.notify, fuse.trace.program.
Flags are fuse.MEMBER.FLAG: fuse.open_out.open_flags.fopen_keep_cache.
Expert information: fuse.malformed, fuse.truncated, fuse.unmatched, fuse.unknown, fuse.failed.

The names of errnos and of the flags of open(2) are those of the machine that this command runs on.

Wireshark may have been told not to run Lua for root: then run it as another user, or set
run_user_scripts_when_superuser = true in its init.lua. Debian's runs it. A file whose link type is given to another
protocol in DLT_USER (Preferences, Protocols) is dissected by this script all the same; with --encap none the script
takes no link type, and DLT_USER decides: -o 'uat:user_dlts:"User 0 (DLT=147)","fuse","0","","0",""'

examples:
  rawfuse dissector > fuse.lua
  wireshark -X lua_script:fuse.lua t.pcapng
  tshark -X lua_script:fuse.lua -r t.pcapng -Y 'fuse.opcode == 1 && fuse.name == "x"'
  tshark -X lua_script:fuse.lua -r t.pcapng -Y 'fuse.error == -2' -T fields -e fuse.path -e fuse.latency
  tshark -X lua_script:fuse.lua -r t.pcapng -Y fuse.malformed -V
  rawfuse dissector > ~/.local/lib/wireshark/plugins/fuse.lua      for every start of Wireshark
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="rawfuse dissector",
        description=DESCRIPTION,
        epilog=EPILOG + "\nthe file:\n" + _file_format(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--encap",
        choices=("none", *ENCAPSULATIONS),
        default="USER0",
        metavar="USERn",
        help="the link type that it takes, USER0 to USER15, or `none` (default: USER0, as rawfuse trace writes)",
    )
    return made


def _file_format() -> str:
    """What the module that writes the file says of it."""
    return (pcapng.__doc__ or "").strip()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    arguments = parser().parse_args(argv)
    sys.stdout.write(dissector(None if arguments.encap == "none" else arguments.encap))
    return 0
