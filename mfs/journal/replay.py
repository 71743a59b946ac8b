"""Playing log records back onto the tree of the last commit."""

from __future__ import annotations

import stat
from collections.abc import Callable

from mfs.journal.items import (
    BytesItem,
    ContentItem,
    DamagedLog,
    GoneItem,
    InodeItem,
    Item,
    NameItem,
    NextItem,
    XattrItem,
    unpack_items,
)
from mfs.tree.node import Directory, File, Node, from_inode
from mfs.tree.record import NO_STATS, DamagedRecord, Entry, cookie_of, inode_key, unpack_inode
from mfs.tree.tree import Tree
from mfs.tree.xattrs import remove_xattr, set_xattr

_LARGEST = (1 << 63) - 1


def replay(tree: Tree, record: bytes, restore: Callable[[int, int, bytes], None]) -> None:
    """Bring `tree` to what `record` says.  `restore(segment, offset, data)` puts bytes where they belong.

    What the record changes is dirty afterwards, so the next commit writes it.  Raises
    :class:`~mfs.journal.items.DamagedLog`.
    """
    items = list(unpack_items(record))
    try:
        _play(tree, items, restore)
    except (DamagedRecord, ValueError, OverflowError) as error:
        raise DamagedLog(f"a log record cannot be played: {error}") from error


def _play(tree: Tree, items: list[Item], restore: Callable[[int, int, bytes], None]) -> None:
    # An entry may point to an inode, and content belong to one, that stands later in the record.
    for item in items:
        if isinstance(item, NextItem | InodeItem | BytesItem):
            _first(tree, item, restore)
    for item in items:
        if isinstance(item, NameItem):
            _name(tree, item)
        elif isinstance(item, ContentItem):
            _content(tree, item)
        elif isinstance(item, XattrItem):
            _xattr(tree, item)
        elif isinstance(item, GoneItem):
            _gone(tree, item.ino)
    for item in items:
        if isinstance(item, InodeItem):
            _counts(tree, item)


def _first(tree: Tree, item: Item, restore: Callable[[int, int, bytes], None]) -> None:
    match item:
        case NextItem(ino):
            tree.next_ino = max(tree.next_ino, ino)
        case BytesItem(segment, offset, data):
            restore(segment, offset, data)
        case InodeItem():
            _inode(tree, item)


def _known(tree: Tree, ino: int) -> Node | None:
    node = tree.nodes.get(ino)
    # One that is dirty and not among the nodes is gone: the commit's word on it is out of date.
    if node is None and ino not in tree.dirty and tree.meta.get(inode_key(ino)) is not None:
        node = tree.node(ino)
    return node


def _inode(tree: Tree, item: InodeItem) -> None:
    """Attributes are set; the content stays what the commit and the records before made it."""
    said = unpack_inode(item.inode)
    node = _known(tree, item.ino)
    if node is None or stat.S_IFMT(node.mode) != stat.S_IFMT(said.mode):
        node = from_inode(item.ino, said._replace(cid=None, size=0, tsize=0, entries=0, stats=NO_STATS), tree.medium)
        tree.nodes[item.ino] = node
    node.mode, node.uid, node.gid, node.nlink = said.mode, said.uid, said.gid, said.nlink
    node.atime, node.mtime, node.ctime, node.btime = said.atime, said.mtime, said.ctime, said.btime
    node.references = said.references
    tree.touched(node)


def _name(tree: Tree, item: NameItem) -> None:
    directory = _known(tree, item.directory)
    if not isinstance(directory, Directory):
        # The directory went away later in the same record.
        return
    old = tree.entry(directory, item.name)
    if item.ino:
        entry = Entry(item.ino, item.dtype, cookie_of(item.name))
        directory.names[item.name] = directory.changed[item.name] = entry
        directory.entries += old is None
    else:
        directory.names[item.name] = directory.changed[item.name] = None
        directory.entries -= old is not None
    tree.touched(directory)
    tree.unlogged_names[item.directory, item.name] = None


def _xattr(tree: Tree, item: XattrItem) -> None:
    node = _known(tree, item.ino)
    if node is None:
        # It went away later in the same record.
        return
    try:
        if item.value is not None:
            set_xattr(tree, node, item.name, item.value)
        else:
            remove_xattr(tree, node, item.name)
    except OSError as error:
        raise DamagedLog(f"the extended attribute {item.name!r} of inode {item.ino}: {error}") from error


def _content(tree: Tree, item: ContentItem) -> None:
    node = _known(tree, item.ino)
    if not isinstance(node, File):
        raise DamagedLog(f"content for inode {item.ino}, which is not a file")
    content = node.content
    chunk = tree.medium.chunk
    if item.size > _LARGEST or (item.reset and item.base_leaves > -(-item.base_size // chunk)):
        raise DamagedLog(f"inode {item.ino} has {item.size} bytes over {item.base_leaves} leaves of {item.base_size}")
    if item.reset:
        content.replace(item.base, item.base_size, item.base_tsize, foreign=item.foreign)
        content.base_leaves = item.base_leaves
    # Who changed it then had looked it over.
    content.examined = True
    if not item.reset and item.cut < content.size:
        content.truncate(item.cut)
    for index, leaf in item.leaves:
        end = index * chunk + leaf.length
        if leaf.length > chunk or end > item.size:
            raise DamagedLog(f"leaf {index} of inode {item.ino} has {leaf.length} bytes in a file of {item.size}")
        if end > content.size:
            content.truncate(end)
        content.put_leaf(index, leaf)
    content.truncate(item.size)
    content.examined = not content.clean
    tree.touched(node)


def _gone(tree: Tree, ino: int) -> None:
    node = _known(tree, ino)
    if node is not None:
        if isinstance(node, Directory):
            # It was empty when it went; names of the commit are still in the metadata map.
            for name in tree.names(node):
                node.changed[name] = None
        node.nlink = 0
        node.references = ()
        tree.touched(node)
        tree.nodes.pop(ino, None)


def _counts(tree: Tree, item: InodeItem) -> None:
    """A directory's number of names, against what its record says: they are counted twice, and must agree."""
    node = tree.nodes.get(item.ino)
    if isinstance(node, Directory):
        said = unpack_inode(item.inode).entries
        if node.entries != said:
            raise DamagedLog(f"directory {item.ino} has {node.entries} entries where its record says {said}")
