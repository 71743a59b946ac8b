"""What the tour makes of messages: told, unexpected, missing."""

from __future__ import annotations

import pytest

from rawfuse import wire
from rawfuse.trace.exchanges import Exchange
from rawfuse.trace.record import Direction, Traced
from rawfuse.wire import Request
from rawfuse.wire.opcodes import OPERATIONS
from tools.tour.chapters import CHAPTERS
from tools.tour.exercises import EXERCISES
from tools.tour.matching import Telling, match
from tools.tour.story import KERNEL, Beat, OneOf, Story, versions
from tools.tour.wording import Reasons, grouped, labels, why

LOOKUP = Beat("LOOKUP", "/f", "a name")
OPEN = Beat("OPEN", "/f", "opened")
READ = Beat("READ", "/f", "{size} bytes at {offset}", least=1, most=None)
RELEASE = Beat("RELEASE", "/f", "done", by=KERNEL, anytime=True)


def exchange(request: Request, *, by: str = "cat", error: int = 0, path: str = "/f") -> Exchange:
    request.pid = 1 if by else 0
    sent = Traced(0, Direction.TO_SERVER, b"", 0, program=by.encode())
    return Exchange(sent, sent, request, None, error, path=path.encode())


def lookup(error: int = 0, *, by: str = "cat", path: str = "/f") -> Exchange:
    return exchange(wire.Lookup(2, 1, name=b"f"), by=by, error=error, path=path)


def opened() -> Exchange:
    return exchange(wire.Open(4, 2, arg=wire.fuse_open_in()))


def read(offset: int = 0) -> Exchange:
    return exchange(wire.Read(6, 2, arg=wire.fuse_read_in(offset=offset, size=4096)))


def released() -> Exchange:
    return exchange(wire.Release(8, 2, arg=wire.fuse_release_in()), by="")


def told(story: Story, *exchanges: Exchange) -> Telling:
    return match(story, exchanges, "cat")


def test_what_comes_as_expected_is_told() -> None:
    telling = told((LOOKUP, OPEN, READ), lookup(), opened(), read(), read(4096))
    assert [one.beat for one in telling.told] == [LOOKUP, OPEN, READ, READ]
    assert telling.faults == 0


@pytest.mark.parametrize(
    "other",
    [lookup(by="dog"), lookup(path="/g"), lookup(error=2), lookup(by=""), opened()],
    ids=["program", "path", "error", "kernel", "opcode"],
)
def test_what_the_story_does_not_know_is_unexpected_and_what_did_not_come_is_missing(other: Exchange) -> None:
    telling = told((LOOKUP,), other)
    assert telling.unexpected == [other]
    assert telling.missing == [LOOKUP]


def test_one_too_many_is_unexpected() -> None:
    assert len(told((LOOKUP,), lookup(), lookup()).unexpected) == 1


def test_the_wrong_order_is_no_telling() -> None:
    assert told((LOOKUP, OPEN), opened(), lookup()).faults > 0


def test_behind_something_missing_the_story_goes_on() -> None:
    telling = told((LOOKUP, OPEN, READ), lookup(), read())
    assert telling.missing == [OPEN]
    assert not telling.unexpected


def test_what_the_kernel_does_in_the_background_may_come_at_any_time() -> None:
    story = (LOOKUP, RELEASE, OPEN)
    assert told(story, released(), lookup(), opened()).faults == 0
    assert told(story, lookup(), opened(), released()).faults == 0


def test_of_several_ways_the_one_that_happened_is_told() -> None:
    story = (OneOf(((LOOKUP, OPEN), (READ,))),)
    assert len(list(versions(story))) == 2
    assert told(story, read()).faults == 0
    assert told(story, lookup(), opened()).faults == 0


def test_members_and_their_texts_must_be_in_the_message() -> None:
    assert told((Beat("READ", "/f", "", given=(("offset", "4096"),)),), read(4096)).faults == 0
    assert told((Beat("READ", "/f", "", given=(("offset", "4096"),)),), read(0)).faults == 2


def test_the_reason_has_the_numbers_of_the_message() -> None:
    assert why(READ, read(8192)) == "4096 bytes at 8192"
    assert why(READ, read(0)) == "4096 bytes at 0"


def test_many_of_a_kind_are_one_group_and_shown_in_part() -> None:
    every = [read(number * 4096) for number in range(9)]
    (group,) = grouped(told((READ,), *every).told)
    assert group.shown == [every[0], every[1], 6, every[8]]


def test_a_reason_is_given_once_whatever_its_numbers() -> None:
    reasons = Reasons()
    groups = [*grouped(told((READ,), read(0)).told), *grouped(told((READ,), read(4096)).told)]
    assert [reasons.of(group) for group in groups] == [("4096 bytes at 0", ""), None]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.number)
def test_a_chapter_speaks_of_messages_that_there_are(chapter: object) -> None:
    (one,) = [one for one in CHAPTERS if one is chapter]
    assert one.number in EXERCISES
    assert set(labels(one)) <= {operation.label for operation in OPERATIONS}
    beats = [beat for step in one.steps for beats in versions(step.story) for beat in beats]
    assert all(beat.why for beat in beats)


def test_chapters_are_numbered() -> None:
    assert [one.number for one in CHAPTERS] == list(range(1, len(CHAPTERS) + 1)) == list(EXERCISES)
