"""`mfs du`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from mfs.cli.asking import asking
from mfs.cli.output import complain, human, print_json, print_line
from mfs.cli.problem import Problem
from mfs.cli.usage import Usage

if TYPE_CHECKING:
    from mfs.control.reach import Reached

__all__ = ["du", "in_tree", "measured"]


def du(arguments: argparse.Namespace) -> int:
    """Say what each path takes; 1 when something could not be told."""
    paths = arguments.paths or ["/"]
    found = in_tree(arguments.repo, paths)
    failures = 0
    wanted = []
    for path, entry in zip(paths, found, strict=True):
        if "error" in entry or entry["cid"] is None:
            failures += 1
            complain("du", f"{path}: {entry.get('error') or 'has no CID: UnixFS has no such files'}")
        else:
            wanted.append((path, entry))
    usages = measured(arguments.repo, [(path, entry["cid"]) for path, entry in wanted])
    for (path, _), usage in zip(wanted, usages, strict=True):
        if arguments.json:
            print_json({"path": path, **usage._asdict()})
        else:
            numbers = (usage.size, usage.stored, usage.shared)
            print_line("\t".join([*(human(n) if arguments.human else str(n) for n in numbers), path]))
    return 1 if failures else 0


def in_tree(repo: str, paths: list[str]) -> list[dict[str, Any]]:
    """What `describe` says of paths in the tree; everything is committed then.  Raises Problem."""
    found: list[dict[str, Any]] = []

    async def work(reached: Reached) -> int:
        found.extend(await reached.ask("describe", paths=paths))
        return 0

    asking(repo, work)
    return found


def measured(repo: str, wanted: list[tuple[str, str]]) -> list[Usage]:
    """The usage of each path and its CID, read beside whoever holds the repository.  Raises Problem."""
    from functools import partial

    from mfs.blocks.errors import BlockNotFound
    from mfs.blocks.store import EmbeddedStore
    from mfs.cli.usage import usages
    from mfs.commit.record import Commit
    from mfs.operations.paths import parts
    from mfs.repo import Repo
    from mfs.unixfs.cid import parse_cid
    from mfs.unixfs.errors import UnixFSError
    from mfs.unixfs.layout import leaf_wrapping

    beside = Repo.beside(repo)
    store = EmbeddedStore(beside.index, beside.segments, partial(leaf_wrapping, beside.profile), read_only=True)
    try:
        record = store.commit_record()
        root = Commit.decode(record).root if record is not None else None
        if root is None or not wanted:
            return []
        return usages(
            store,
            root,
            [(parse_cid(cid), tuple(parts(path.encode("utf-8", "surrogateescape")))) for path, cid in wanted],
        )
    except BlockNotFound as error:
        raise Problem(f"cannot count blocks: {error}", "It was changed while it was looked at; try again.") from error
    except UnixFSError as error:
        raise Problem(f"cannot count blocks: {error}") from error
    finally:
        store.close()
