"""From a command to an operation on the repository, through its control socket or opened here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from mfs.cli.problem import Problem, explained

if TYPE_CHECKING:
    from mfs.control.reach import Reached

__all__ = ["asking", "worded"]


def asking(
    repo: str, work: Callable[[Reached], Awaitable[int]], *, create: bool = False, profile: str | None = None
) -> int:
    """Reach the repository, do `work` with it, and return the exit status that it gave.

    Raises Problem for whatever stood in the way.
    """
    import trio

    from mfs.control.reach import reached

    async def main() -> int:
        async with reached(repo, create=create, profile=profile) as found:
            return await work(found)

    try:
        return trio.run(main)
    except BaseException as error:
        cause = _single(error)
        if isinstance(cause, KeyboardInterrupt | BrokenPipeError):
            raise cause from None
        problem = worded(cause)
        if problem is None:
            raise
        raise problem from error


def _single(error: BaseException) -> BaseException:
    """What a nursery made a group of."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def worded(error: BaseException) -> Problem | None:
    """The problem behind an exception; None for a defect."""
    from mfs.control.frames import BrokenFrame
    from mfs.control.link import LinkLost
    from mfs.control.reach import OperationFailed, WrongServer

    if isinstance(error, OperationFailed):
        where = f"{error.filename}: " if error.filename is not None else ""
        return Problem(f"{where}{error.strerror}")
    if isinstance(error, LinkLost | WrongServer):
        return Problem(str(error))
    if isinstance(error, BrokenFrame):
        return Problem(f"the process that holds the repository sent what is no answer: {error}")
    return explained(error)
