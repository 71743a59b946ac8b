"""Checks of the exercises about inodes, caches and waiting (6 to 8)."""

from __future__ import annotations

from collections.abc import Iterator

from rawfuse.wire import NotifyInvalInode

from ..stage import Act
from .skeletons import mapping
from .trial import Finding, Trial, errno_of

__all__ = ["lifetimes", "notices", "waiting"]

_UNLINKED = """\
import os
fd = os.open("mnt/file", os.O_RDWR | os.O_CREAT)
os.write(fd, b"still here")
os.unlink("mnt/file")
print(os.pread(fd, 100, 0), os.fstat(fd).st_nlink)
os.ftruncate(fd, 5)
print(os.fstat(fd).st_size)
"""


def lifetimes(trial: Trial) -> Iterator[Finding]:
    """Exercise 6."""
    used = _inodes(trial)
    ran = trial.python(_UNLINKED)
    asked = trial.of("READ|GETATTR|STATX|SETATTR|FLUSH", "/file", ran=ran)
    failed = next((one for one in asked if one.error), None)
    right = ran.text.split() == ["b'still", "here'", "0", "5"]
    said = "A file that is open lives on without its name."
    if not right:
        said = f"A file that is open is gone after its UNLINK: {errno_of(failed) or ran.text}."
    yield Finding(right, said, "nlink is 0, but the kernel has references (`nlookup`), and asks by nodeid.", failed)
    yield _dropped(trial, used, "Is `collect` called, and does it drop what has neither a name nor a reference?")
    # Each mv looks at both of its names, so what goes last has been looked up more than once.
    trial.shell("echo > mnt/a; echo > mnt/b; mv -f mnt/a mnt/b; echo > mnt/a; mv -f mnt/a mnt/b; rm mnt/b")
    yield _dropped(trial, used, "One FORGET may give back several references: its `nlookup` says how many.")


def _dropped(trial: Trial, used: int, hint: str) -> Finding:
    # FORGET comes when the kernel finds the time.
    left = next((0 for _ in range(3) if _inodes(trial) == used), None)
    if left is None:
        left = _inodes(trial) - used
    forgets = trial.of("FORGET|BATCH_FORGET")
    forgets.sort(key=lambda one: getattr(getattr(one.request, "arg", None), "nlookup", 0))
    text = "What nobody can come back to is dropped." if not left else f"Inodes that stay behind: {left}."
    return Finding(not left, text, hint, forgets[-1] if forgets else None)


def _inodes(trial: Trial) -> int:
    """How many inodes the server says there are, by STATFS."""
    total, free = trial.shell("stat -f -c '%c %d' mnt").text.split()
    return int(total) - int(free)


_WATCH = """\
import mmap, os, time
fd = os.open("mnt/board", os.O_RDONLY)
memory = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
print(memory[:6])
for turn in range(2):
    before = memory[:6]
    with open("mnt/turn") as file:
        file.read()
    for _ in range(30):
        if memory[:6] != before:
            break
        time.sleep(0.01)
    print(memory[:6])
"""


def notices(trial: Trial) -> Iterator[Finding]:
    """Exercise 7."""
    ran = trial.python(_WATCH)
    told = [one for one in ran.exchanges if isinstance(one.notification, NotifyInvalInode)]
    reads = trial.of("READ", "/board", ran=ran)
    yield Finding(
        bool(told),
        "The kernel is told." if told else "`turn` was read twice, and the kernel was told nothing.",
        "No NOTIFY_INVAL_INODE came. `board` was read once; what the mapping shows is that page.",
        reads[0] if reads else None,
    )
    inodes = {one.notification.arg.ino for one in told if isinstance(one.notification, NotifyInvalInode)}
    yield Finding(
        mapping.BOARD in inodes,
        f"The notification is about inode {', '.join(map(str, inodes))}.",
        f"`board` has inode {mapping.BOARD}.",
        told[0],
    )
    seen = ran.text.split()
    wanted = [repr(text[:6]) for text in mapping.TEXTS[:3]]
    yield Finding(
        seen == wanted,
        f"The mapping showed {', '.join(seen)}.",
        "After each turn the next text was to be seen. Is the notification about pages (an offset of 0 or more), and "
        "sent after the text has changed?",
        told[-1],
    )


def waiting(trial: Trial) -> Iterator[Finding]:
    """Exercise 8."""
    ran = trial.run(Act(("cat", "mnt/bell"), "cat mnt/bell, and Ctrl-C", ctrl_c="READ"))
    reads = trial.of("READ", "/bell", ran=ran)
    yield Finding(
        bool(reads) and errno_of(reads[0]) == "EINTR",
        f"READ was answered with {errno_of(reads[0]) or 'success' if reads else 'nothing'} after its INTERRUPT.",
        "Let the cancellation through: trio raises Cancelled where you wait, and rawfuse answers EINTR.",
        reads[0] if reads else None,
    )
    ran = trial.shell("cat mnt/bell & sleep 0.5; test -d mnt && echo others; echo >> mnt/bell; wait")
    right = ran.text.split() == ["others", "ding"]
    said = "A write wakes the reader, and others were served before."
    if not right:
        said = f"One waits, another looks, a third writes: {ran.text.split()} came out, not 'others' and then 'ding'."
    yield Finding(right, said, "The one that waits must let others run (`await`), and a write must wake it.")
    ran = trial.shell("timeout 0.3 cat mnt/bell; echo $?")
    said = "The bell has rung, and who reads now waits for the next time."
    if ran.text.split() != ["124"]:
        said = f"The bell has rung, and who reads now does not wait: {ran.text.split()[0]} came out."
    yield Finding(ran.text.split() == ["124"], said, _AGAIN, trial.of("READ", "/bell", ran=ran)[0])
    ran = trial.shell("cat mnt/bell & cat mnt/bell & sleep 0.5; echo >> mnt/bell; wait", _EVERYBODY)
    yield Finding(
        ran.text.split() == ["ding", "ding"],
        f"Two readers, one write: {len(ran.text.split())} of them were woken.",
        _EVERYBODY,
    )


_AGAIN = "A `trio.Event` that was set stays set; put a new one in its place."
_EVERYBODY = "One write wakes everybody who waits at that time."
