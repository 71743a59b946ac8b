"""Operations on the whole tree."""

from __future__ import annotations

from typing import Any

from mfs.operations.session import Session
from mfs.unixfs.cid import CID, cid_str

__all__ = ["commit"]


async def commit(session: Session) -> dict[str, Any]:
    """Everything done so far, durable, with a CID."""
    done = await session.volume.commit()
    return {"root": cid_str(CID(done.root)) if done.root is not None else None}
