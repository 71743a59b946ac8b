"""Where suites run: a mount of ours, ext4 on a loop device, any other server, or a directory that is there."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..bench import servers
from ..bench.machine import Unavailable
from ..bench.servers import Recipe, Server

IMAGE_BYTES = 8 << 30  # sparse
_SAID = 3000

_ALL_USERS = ("--allow-other",)
_DEVICES = ("-o", "dev,suid")

RECIPES = {
    "mfs": replace(servers.MFS, start=(*servers.MFS.start, *_ALL_USERS)),
    "memory": replace(servers.MEMORY, start=(*servers.MEMORY.start, *_ALL_USERS, *_DEVICES)),
    "passthrough": replace(servers.PASSTHROUGH, start=(*servers.PASSTHROUGH.start, *_ALL_USERS, *_DEVICES)),
}
NAMES = (*RECIPES, "ext4")


@contextlib.contextmanager
def place(name: str, scratch: Path) -> Iterator[Path]:
    """The directory to run in: `name` is one of NAMES, a directory, or a server's command line with {dir} in it.

    Raises Unavailable.
    """
    if name == "ext4":
        with _ext4(scratch) as directory:
            yield directory
    elif name in RECIPES or "{dir}" in name:
        recipe = RECIPES.get(name) or Recipe.parse(f"server={name}")
        with Server(recipe, scratch) as server:
            yield server.mount
    else:
        yield Path(name).resolve()


def last_words(scratch: Path) -> str:
    """The end of what the servers in `scratch` said, most of them in the background."""
    said = []
    for log in (*scratch.glob("*/log"), *scratch.glob("*/repo/mfs.log")):
        text = log.read_text(errors="replace").strip()
        if text:
            said.append(f"{log.name} of the server:\n{text[-_SAID:]}")
    return "\n".join(said)


@contextlib.contextmanager
def _ext4(scratch: Path) -> Iterator[Path]:
    """A new ext4 on a loop device."""
    image, directory = scratch / "ext4.img", scratch / "ext4"
    directory.mkdir()
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    _run("mkfs.ext4", "-q", "-F", image)
    try:
        _run("mount", "-o", "loop,acl,user_xattr", image, directory)
        try:
            yield directory
        finally:
            _run("umount", directory)
    finally:
        image.unlink()
        directory.rmdir()


def _run(*command: str | Path) -> None:
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    except OSError as error:
        raise Unavailable(f"{command[0]}: {error}") from error
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"{command[0]}: {error.stderr.strip()}") from error
