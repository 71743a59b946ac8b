"""Extended attributes and access control lists, as programs use them."""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mfs.tests.mounting import Mount
from mfs.tests.programs import NOBODY, as_user, run

pytestmark = [
    pytest.mark.kernel("root", programs=("getfacl", "setfacl", "setcap", "getcap", "getfattr", "setfattr")),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]

LONG = os.urandom(1 << 16)


def code_of(action: Callable[[], object]) -> int:
    """The errno that `action` fails with."""
    with pytest.raises(OSError) as caught:
        action()
    assert caught.value.errno is not None
    return caught.value.errno


def own(path: Path) -> list[str]:
    """The attributes of a node, but that of its CID."""
    return sorted(set(os.listxattr(path, follow_symlinks=False)) - {"ipfs.cid"})


def acl(path: Path) -> list[str]:
    """What getfacl says, without comments."""
    return [line for line in run("getfacl", "-cEn", "--absolute-names", path).splitlines() if line]


def test_attributes_are_set_replaced_listed_removed_and_kept(mfs_mount: Mount) -> None:
    top = mfs_mount.path
    (top / "file").touch()
    (top / "directory").mkdir()
    (top / "link").symlink_to("file")
    os.mkfifo(top / "fifo")
    for name, namespaces in {
        "file": ("user", "trusted", "security"),
        "directory": ("user", "trusted", "security"),
        "link": ("trusted", "security"),
        "fifo": ("trusted", "security"),
    }.items():
        for namespace in namespaces:
            os.setxattr(top / name, f"{namespace}.long", LONG, follow_symlinks=False)
            os.setxattr(top / name, f"{namespace}.empty", b"", follow_symlinks=False)
            os.setxattr(top / name, f"{namespace}.gone", b"soon", follow_symlinks=False)
            os.setxattr(top / name, f"{namespace}.empty", b"not any more", follow_symlinks=False)
            os.removexattr(top / name, f"{namespace}.gone", follow_symlinks=False)
        for _ in range(2):
            assert own(top / name) == sorted(f"{space}.{kind}" for space in namespaces for kind in ("empty", "long"))
            for namespace in namespaces:
                assert os.getxattr(top / name, f"{namespace}.long", follow_symlinks=False) == LONG
                assert os.getxattr(top / name, f"{namespace}.empty", follow_symlinks=False) == b"not any more"
            mfs_mount.remount()


def test_what_linux_refuses_is_refused(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.touch()
    os.setxattr(path, "user.there", b"value")
    assert code_of(lambda: os.setxattr(path, "user.there", b"", os.XATTR_CREATE)) == errno.EEXIST
    assert code_of(lambda: os.setxattr(path, "user.absent", b"", os.XATTR_REPLACE)) == errno.ENODATA
    assert code_of(lambda: os.removexattr(path, "user.absent")) == errno.ENODATA
    assert code_of(lambda: os.getxattr(path, "user.absent")) == errno.ENODATA
    assert code_of(lambda: os.setxattr(path, "user.long", LONG + b"!")) == errno.E2BIG
    assert code_of(lambda: os.setxattr(path, "user." + "n" * 251, b"")) == errno.ERANGE
    assert code_of(lambda: os.setxattr(path, "nothing.known", b"")) == errno.EOPNOTSUPP
    assert code_of(lambda: os.setxattr(path, "system.other", b"")) == errno.EOPNOTSUPP
    assert code_of(lambda: os.setxattr(path, "ipfs.cid", b"bafkqaaa")) == errno.EOPNOTSUPP
    assert code_of(lambda: os.removexattr(path, "ipfs.cid")) == errno.EOPNOTSUPP
    (mfs_mount.path / "link").symlink_to("file")
    link = mfs_mount.path / "link"
    assert code_of(lambda: os.setxattr(link, "user.a", b"", follow_symlinks=False)) == errno.EPERM
    os.chmod(path, 0o644)
    assert as_user(lambda: os.setxattr(path, "user.a", b"")) == errno.EACCES
    assert as_user(lambda: os.setxattr(path, "trusted.a", b"")) == errno.EPERM


def test_trusted_attributes_are_listed_to_root_alone(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.touch()
    os.setxattr(path, "trusted.secret", b"1")
    os.setxattr(path, "user.open", b"1")

    def look() -> None:
        if own(path) != ["user.open"]:
            raise OSError(errno.EPERM, "too much or too little")

    assert as_user(look) == 0
    assert own(path) == ["trusted.secret", "user.open"]


def test_attributes_change_ctime_and_go_with_the_file(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.touch()
    before = path.stat()
    os.setxattr(path, "user.a", b"1")
    after = path.stat()
    assert after.st_ctime_ns > before.st_ctime_ns
    assert after.st_mtime_ns == before.st_mtime_ns
    path.unlink()
    path.touch()
    assert own(path) == []


def test_an_attribute_survives_a_kill_after_fsync(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.touch()
    os.setxattr(path, "user.long", LONG)
    os.setxattr(path, "user.short", b"1")
    with path.open() as file:
        os.fsync(file.fileno())
        os.removexattr(path, "user.short")
        os.fsync(file.fileno())
        mfs_mount.kill()
    mfs_mount.remount()
    assert own(path) == ["user.long"]
    assert os.getxattr(path, "user.long") == LONG


def test_thousands_of_long_values_fit_into_a_bounded_memory(mfs_mount: Mount) -> None:
    for number in range(600):
        path = mfs_mount.path / f"file{number}"
        path.touch()
        os.setxattr(path, "user.long", LONG)
    status = Path(f"/proc/{mfs_mount.pid}/status").read_text()
    anonymous = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))
    assert anonymous < 200 << 10
    assert os.getxattr(mfs_mount.path / "file0", "user.long") == LONG


def test_cp_and_mv_take_attributes_along(mfs_mount: Mount, tmp_path: Path) -> None:
    one, two = mfs_mount.path / "one", mfs_mount.path / "two"
    one.write_bytes(b"bytes")
    os.setxattr(one, "user.a", b"value")
    os.setxattr(one, "trusted.b", b"value")
    assert run("cp", "-a", one, two) == ""
    assert own(two) == ["trusted.b", "user.a"]
    assert run("mv", two, tmp_path / "three") == ""
    assert os.getxattr(tmp_path / "three", "user.a") == b"value"
    assert run("mv", tmp_path / "three", two) == ""
    assert own(two) == ["trusted.b", "user.a"]
    assert run("getfattr", "--only-values", "-n", "user.a", "--absolute-names", two) == "value"


@pytest.mark.parametrize("flags", [0, os.O_DIRECT], ids=["cached", "direct"])
def test_a_write_takes_capabilities(mfs_mount: Mount, flags: int) -> None:
    program = mfs_mount.path / "program"
    run("cp", "/usr/bin/true", program)
    run("setcap", "cap_net_raw+ep", program)
    assert "cap_net_raw" in run("getcap", program)
    mfs_mount.remount()
    assert "cap_net_raw" in run("getcap", program)
    page = mmap.mmap(-1, 4096)
    fd = os.open(program, os.O_WRONLY | flags)
    os.pwrite(fd, page, 0)
    os.close(fd)
    assert run("getcap", program) == ""
    mfs_mount.remount()
    assert run("getcap", program) == ""


# -- access control lists -----------------------------------------------------------------------------------------


def test_a_list_is_enforced_shown_in_the_mode_and_kept(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.write_bytes(b"secret")
    path.chmod(0o600)
    assert as_user(path.read_bytes) == errno.EACCES
    run("setfacl", "-m", f"u:{NOBODY}:r--,g:4321:rw-", path)
    assert as_user(path.read_bytes) == 0
    assert as_user(lambda: path.write_bytes(b"")) == errno.EACCES
    assert as_user(lambda: os.truncate(path, 6), uid=77, gid=4321) == 0
    wanted = ["user::rw-", f"user:{NOBODY}:r--", "group::---", "group:4321:rw-", "mask::rw-", "other::---"]
    for _ in range(2):
        assert acl(path) == wanted
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        mfs_mount.remount()


def test_chmod_changes_the_mask_and_not_the_group(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.touch(0o640)
    run("setfacl", "-m", f"u:{NOBODY}:rwx", path)
    path.chmod(0o614)
    assert acl(path) == ["user::rw-", f"user:{NOBODY}:rwx", "group::r--", "mask::--x", "other::r--"]
    assert as_user(path.read_bytes) == errno.EACCES
    path.chmod(0o777)
    assert "mask::rwx" in acl(path)
    assert as_user(path.read_bytes) == 0


def test_a_list_that_says_what_the_mode_says_is_not_kept(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "file"
    path.touch(0o640)
    run("setfacl", "-m", f"u:{NOBODY}:rwx", path)
    assert own(path) == ["system.posix_acl_access"]
    run("setfacl", "-b", path)
    assert own(path) == []
    assert acl(path) == ["user::rw-", "group::r--", "other::---"]


@pytest.mark.parametrize("umask", [0o077, 0])
def test_what_is_made_inherits_the_default_list_whatever_the_umask(mfs_mount: Mount, umask: int) -> None:
    top = mfs_mount.path / "top"
    top.mkdir()
    run("setfacl", "-d", "-m", f"u::rwx,g::r-x,o::---,u:{NOBODY}:rwx", top)
    default = [f"default:{line}" for line in ("user::rwx", f"user:{NOBODY}:rwx", "group::r-x")]
    default += ["default:mask::rwx", "default:other::---"]
    before = os.umask(umask)
    try:
        os.close(os.open(top / "file", os.O_CREAT | os.O_WRONLY, 0o666))
        os.mkdir(top / "directory", 0o777)
        os.mkfifo(top / "fifo", 0o664)
        os.symlink("file", top / "link")
    finally:
        os.umask(before)
    for _ in range(2):
        assert acl(top / "file") == [
            "user::rw-", f"user:{NOBODY}:rwx", "group::r-x", "mask::rw-", "other::---",
        ]  # fmt: skip
        assert stat.S_IMODE((top / "file").stat().st_mode) == 0o660
        assert stat.S_IMODE((top / "fifo").stat().st_mode) == 0o660
        assert acl(top / "directory")[5:] == default
        assert stat.S_IMODE((top / "directory").stat().st_mode) == 0o770
        assert own(top / "link") == []
        mfs_mount.remount()


def test_without_a_default_list_the_umask_counts(mfs_mount: Mount) -> None:
    before = os.umask(0o027)
    try:
        os.close(os.open(mfs_mount.path / "file", os.O_CREAT | os.O_WRONLY, 0o666))
        os.mkdir(mfs_mount.path / "directory", 0o777)
        os.mknod(mfs_mount.path / "fifo", stat.S_IFIFO | 0o666)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in mfs_mount.path.iterdir()}
    assert modes == {"file": 0o640, "directory": 0o750, "fifo": 0o640}


def test_a_list_set_by_others_takes_set_gid(mfs_mount: Mount) -> None:
    path = mfs_mount.path / "program"
    path.touch()
    os.chown(path, NOBODY, 0)
    path.chmod(0o2775)
    setfacl = ["setfacl", "-m", "u:5:r-x", os.fspath(path)]
    assert as_user(lambda: os.execvp("setfacl", setfacl)) == 0
    assert not path.stat().st_mode & stat.S_ISGID


def test_cp_keeps_lists(mfs_mount: Mount) -> None:
    one, two = mfs_mount.path / "one", mfs_mount.path / "two"
    one.touch(0o640)
    run("setfacl", "-m", f"u:{NOBODY}:rw-", one)
    run("cp", "-p", one, two)
    assert acl(one) == acl(two)
