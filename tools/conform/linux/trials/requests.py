"""What the requests of the real kernel carry (Linux 6.18): headers, modes, extensions, sizes.

Only of the real one: ours makes the requests that it is told to make.
"""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading

from rawfuse import wire as w
from rawfuse.wire import constants as c
from rawfuse.wire.extensions import SecurityContexts, SupplementaryGroups
from rawfuse.wire.flags import InitFlags

from ..stage.calls import BY_OPCODE, F, SystemCall, outcome
from ..stage.kernels import connected, kind_alone, really
from ..stage.made_up import DIR, FLAGS, REG, attr, entry, init_answer, ok, open_buffered
from ..stage.real import Real
from ..stage.script import using
from ..trial import case, holds, needs_root, of, over, same, trial

GROUP = 4711


def pids(kernel: Real, kind: type[w.Request]) -> set[int]:
    return {request.pid for request in kernel.requests if isinstance(request, kind)}


@trial(on=really)
def what_the_kernel_does_by_itself_has_pid_0(kernel: Real) -> None:
    kernel.run(BY_OPCODE[c.FUSE_READ])
    kernel.run(BY_OPCODE[c.FUSE_READDIR])
    kernel.run(BY_OPCODE[c.FUSE_STATFS])  # by then the releases have come
    own: tuple[type[w.Request], ...] = (w.Init, w.Release, w.ReleaseDir)
    for kind in own:
        same(pids(kernel, kind), {0}, kind.__name__)
    callers = {thread.native_id for thread in kernel.threads}
    for kind in (w.Lookup, w.Open, w.Read, w.ReadDir, w.StatFs):
        holds(pids(kernel, kind) <= callers, f"{kind.__name__} has the pid of its caller")


@trial(on=really)
def a_file_without_a_name_is_asked_for_by_a_slash(kernel: Real) -> None:
    kernel.run(BY_OPCODE[c.FUSE_TMPFILE])
    same([one.name for one in kernel.requests if isinstance(one, w.TmpFile)], [b"/"])


@trial(on=kind_alone)
@over(("dont_mask", "mode"), [(False, 0o750), (True, 0o777)])
def the_mode_of_mkdir_is_masked_already_unless_dont_mask(_: str, dont_mask: bool, mode: int) -> None:
    flags = FLAGS | InitFlags.FUSE_DONT_MASK if dont_mask else FLAGS
    mkdir = SystemCall(c.FUSE_MKDIR, lambda root: os.mkdir("new", 0o777, dir_fd=root), ())
    before = os.umask(0o027)
    try:
        with connected("real", init_answer(flags)) as kernel:
            kernel.run(mkdir)
            (request,) = (one for one in kernel.requests if isinstance(one, w.MkDir))
    finally:
        os.umask(before)
    same((request.arg.mode, request.arg.umask), (mode, 0o027))


@trial(on=really)
def truncating_says_whose_locks_it_respects(kernel: Real) -> None:
    kernel.run(SystemCall(c.FUSE_SETATTR, lambda root: os.truncate(f"/proc/self/fd/{root}/f", 5), (F,)))
    (request,) = (one for one in kernel.requests if isinstance(one, w.SetAttr))
    both = c.FATTR_LOCKOWNER | c.FATTR_SIZE
    same(request.arg.valid & both, both, "FATTR_LOCKOWNER and FATTR_SIZE")


@trial(on=really)
def a_listing_is_asked_for_as_large_as_the_callers_buffer(kernel: Real) -> None:
    kernel.run(BY_OPCODE[c.FUSE_READDIR])
    same({one.arg.size for one in kernel.requests if isinstance(one, w.ReadDir)}, {32768})


MKDIR = "import os, sys; os.mkdir('new', dir_fd=int(sys.argv[1]))"


def made_by_a_member_of(group: int, flags: InitFlags) -> w.MkDir:
    """The MKDIR of a process that is in a group beside its own, in a directory of that group."""
    needs_root("join a group")
    with really("real", init_answer(FLAGS | flags)) as kernel:
        command = [sys.executable, "-c", MKDIR, str(kernel.root)]
        root = attr(1, DIR | 0o2777)
        root.gid = group
        with using(kernel, {c.FUSE_GETATTR: w.fuse_attr_out(attr=root).pack()}):
            outcome(kernel.call(SystemCall(c.FUSE_GETATTR, os.fstat, ())))
            with subprocess.Popen(command, pass_fds=(kernel.root,), extra_groups=[group]) as child:
                request = of(w.MkDir, kernel.expect(c.FUSE_MKDIR))
                kernel.answer(request)
                kernel.until(-1, done=lambda: child.poll() is not None)
    return request


@trial(on=kind_alone)
def a_supplementary_group_comes_where_it_is_the_directorys(_: str) -> None:
    request = made_by_a_member_of(GROUP, InitFlags.FUSE_CREATE_SUPP_GROUP)
    same(request.extensions, (SupplementaryGroups((GROUP,)),))


@trial(on=kind_alone)
def a_security_context_comes_empty_where_no_module_has_one(_: str) -> None:
    request = made_by_a_member_of(GROUP, InitFlags.FUSE_SECURITY_CTX)
    same(request.extensions, (SecurityContexts(()),))


@trial(on=kind_alone)
def no_extension_comes_that_was_not_agreed_on(_: str) -> None:
    same(made_by_a_member_of(GROUP, InitFlags(0)).extensions, ())


@trial(on=kind_alone)
def posix_acls_make_the_kernel_check_modes(_: str) -> None:
    """As default_permissions does, which is not given here: the server is not asked."""
    for flags, asked in ((FLAGS, True), (FLAGS | InitFlags.FUSE_POSIX_ACL, False)):
        with connected("real", init_answer(flags)) as kernel:
            kernel.run(BY_OPCODE[c.FUSE_ACCESS])
            same(c.FUSE_ACCESS in kernel.opcodes, asked)


@trial(on=really)
@over(
    ("number", "asked"),
    [
        case(errno.EOPNOTSUPP, [53, 53], id="EOPNOTSUPP"),
        case(errno.EXDEV, [53, 53], id="EXDEV"),
        case(errno.ENOSYS, [53, 47, 47], id="ENOSYS"),
    ],
)
def a_copy_refused_is_read_and_written_and_the_next_one_asked_for_again(
    kernel: Real, number: int, asked: list[int]
) -> None:
    with using(kernel, {c.FUSE_COPY_FILE_RANGE_64: number}):
        for _ in range(2):
            same(outcome(kernel.call(BY_OPCODE[c.FUSE_COPY_FILE_RANGE_64])), 100)
    same([opcode for opcode in kernel.opcodes if opcode in (47, 53)], asked)
    same(c.FUSE_READ in kernel.opcodes, number != errno.ENOSYS)


@trial(on=really)
def einval_ends_a_copy(kernel: Real) -> None:
    with using(kernel, {c.FUSE_COPY_FILE_RANGE_64: errno.EINVAL}):
        same(outcome(kernel.call(BY_OPCODE[c.FUSE_COPY_FILE_RANGE_64])), "EINVAL")
    same(kernel.opcodes.count(c.FUSE_READ), 0, "READs")


@trial(on=really)
def a_clone_of_a_file_is_refused_without_a_request(kernel: Real) -> None:
    def act(root: int) -> object:
        source, target = os.open("f", os.O_RDONLY, dir_fd=root), os.open("n1", os.O_WRONLY, dir_fd=root)
        try:
            return fcntl.ioctl(target, 0x40049409, source)  # FICLONE
        finally:
            os.close(source)
            os.close(target)

    same(outcome(kernel.call(SystemCall(c.FUSE_IOCTL, act, ()))), "EOPNOTSUPP")
    same(kernel.opcodes.count(c.FUSE_IOCTL), 0, "IOCTLs")


HUGE = 16 << 30


@trial(on=really)
@over(("absent", "length"), [(False, HUGE), (True, 0xFFFFF000)])
def one_message_copies_whatever_length_in_64_bits(kernel: Real, absent: bool, length: int) -> None:
    def act(root: int) -> object:
        source, target = os.open("n1", os.O_RDONLY, dir_fd=root), os.open("n2", os.O_WRONLY, dir_fd=root)
        try:
            return os.copy_file_range(source, target, HUGE, 0, 0)
        finally:
            os.close(source)
            os.close(target)

    source, target = entry(101, REG | 0o644, HUGE), entry(102, REG | 0o644, 0)
    finish = kernel.call(SystemCall(53, act, ()))
    for body in (source, target):
        kernel.write(ok(kernel.expect(c.FUSE_LOOKUP), body))
    if absent:
        kernel.answer(kernel.expect(c.FUSE_COPY_FILE_RANGE_64), errno.ENOSYS)
    request = (
        of(w.CopyFileRange, kernel.expect(c.FUSE_COPY_FILE_RANGE))
        if absent
        else of(w.CopyFileRange64, kernel.expect(c.FUSE_COPY_FILE_RANGE_64))
    )
    same((request.nodeid, request.arg.nodeid_out, request.arg.len), (101, 102, length))
    kernel.answer(request, errno.EINVAL)
    same(outcome(finish), "EINVAL")


def written_and_synced(root: int) -> None:
    fd = os.open("f", os.O_RDWR, dir_fd=root)
    os.pwrite(fd, b"x", 0)
    os.fsync(fd)
    os.close(fd)


@trial(on=kind_alone)
def cached_writes_come_without_a_caller(_: str) -> None:
    flags = FLAGS | InitFlags.FUSE_WRITEBACK_CACHE
    with connected("real", init_answer(flags)) as kernel, using(kernel, {**open_buffered()}):
        kernel.run(SystemCall(c.FUSE_WRITE, written_and_synced, ()))
        writes = [one for one in kernel.requests if isinstance(one, w.Write)]
        same({one.pid for one in writes}, {0})
        holds(all(one.arg.write_flags & c.FUSE_WRITE_CACHE for one in writes), "each WRITE says FUSE_WRITE_CACHE")


@trial(on=really)
def a_reference_dropped_has_pid_0(kernel: Real) -> None:
    kernel.run(SystemCall(c.FUSE_LOOKUP, lambda root: os.stat("n1", dir_fd=root).st_ino, ()))
    dropping = threading.Thread(target=kernel.drop, args=([(101, b"n1")],))
    dropping.start()
    forget = kernel.expect(c.FUSE_FORGET)
    dropping.join(5)
    same((forget.nodeid, forget.pid, forget.uid), (101, 0, 0))
