"""kubo's own mount of its MFS as a peer: `--peer kubo='python -m tools.bench.kubo /path/to/ipfs {repo} {dir}'`.

kubo (measured: 0.43) has its mounts in its daemon, of three directories at once, and only while that is online; after
umount(8) the daemon stays. So this starts one on a repository made for it, with no peers and on the loopback only, and
ends it when the mount is gone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import sleep

from .servers import is_mounted

PROFILES = "test,unixfs-v1-2025"
START_SECONDS = 30
STOP_SECONDS = 30


def main(argv: list[str]) -> int:
    """IPFS REPO DIR; returns when DIR is not mounted any more."""
    if len(argv) != 3:
        print("usage: python -m tools.bench.kubo IPFS REPO DIR", file=sys.stderr)
        return 2
    ipfs, repo, mount = argv[0], Path(argv[1]), Path(argv[2])
    environment = {**os.environ, "IPFS_PATH": str(repo / "kubo")}
    others = {name: repo / name for name in ("ipfs", "ipns")}
    for directory in others.values():
        directory.mkdir(parents=True, exist_ok=True)
    if not (repo / "kubo" / "config").exists():
        subprocess.run([ipfs, "init", f"--profile={PROFILES}"], env=environment, check=True, stdout=subprocess.DEVNULL)
    command = [ipfs, "daemon", "--routing=none", "--mount", f"--mount-mfs={mount}"]
    command += [f"--mount-{name}={directory}" for name, directory in others.items()]
    daemon = subprocess.Popen(command, env=environment)
    try:
        for _ in range(START_SECONDS * 10):
            if is_mounted(mount) or daemon.poll() is not None:
                break
            sleep(0.1)
        while is_mounted(mount) and daemon.poll() is None:
            sleep(0.1)
    finally:
        daemon.terminate()
        try:
            daemon.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
