"""Where figures come from: our own servers and relays by what they pass on, all others by the kernel's events."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, Self

from rawfuse.mount.connections import Connection, fuse_connections
from rawfuse.mount.mountinfo import MountEntry, canonical, mount_entries
from rawfuse.trace.kernel_events import KernelEvents, NoKernelEvents
from rawfuse.trace.watching import Watched, watch

from .live import Live

__all__ = ["EVENTS_SAY", "NoSuchMount", "Place", "Sources", "place_of"]

EVENTS_SAY: Final = "the kernel's events: no names and no data, no FORGETs, INTERRUPTs or notifications"
_HEADERS: Final = 64
"""Bytes of each message that figures need."""
_TICK: Final = 0.2


class NoSuchMount(Exception):
    """What was named is no FUSE mount; the message says so."""


class Place(NamedTuple):
    """A connection and where it is mounted, empty where that cannot be known.

    source: `messages`, `events` or none. waiting: requests without a reply, those from before we looked too; None where
    fusectl does not say.
    """

    connection: int
    mountpoint: str
    source: str
    waiting: int | None = None


def place_of(text: str) -> Place:
    """The connection that a path lies in, or that has this number; asks no file system anything.

    Raises NoSuchMount.
    """
    if text.isdecimal() and not os.path.lexists(text):
        for one in fuse_connections():
            if one.number == int(text):
                return Place(one.number, _mountpoint(one), "")
        raise NoSuchMount(f"there is no FUSE connection {text}; `rawfuse list` shows all")
    # As it is written first: to look where links lead would ask a mount that may hang.
    for spelled in (os.path.abspath, canonical):
        found = _mount_over(spelled(text))
        if found is not None and found.is_fuse:
            return Place(found.connection, found.mountpoint, "")
    raise NoSuchMount(f"{text} is in no FUSE mount; `rawfuse list` shows all")


def _mount_over(path: str) -> MountEntry | None:
    """The mount that a path without links lies in."""
    found: MountEntry | None = None
    for entry in mount_entries():
        at = entry.mountpoint
        if (path == at or path.startswith(at.rstrip("/") + "/")) and len(at) >= len(found.mountpoint if found else ""):
            found = entry
    return found


def _mountpoint(connection: Connection) -> str:
    return connection.mounts[0].mountpoint if connection.mounts else ""


class Sources:
    """A context manager that feeds `live` with what the connections do: the `wanted`, or all that there are.

    Attributes:
        places: where figures come from.
        over: the connections that were wanted are all gone.
        trouble: why the kernel's events cannot be had, where they were needed.
        lost: messages and events that we were too slow for.
    """

    def __init__(self, live: Live, wanted: Sequence[Place] = ()) -> None:
        self.places: dict[int, Place] = {place.connection: place for place in wanted}
        self.over = False
        self.trouble = ""
        self._lost = 0
        self._live = live
        self._all = not wanted
        self._watched: dict[int, Watched] = {}
        self._events: KernelEvents | None = None
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def lost(self) -> int:
        now = sum(one.lost for one in list(self._watched.values()))
        return self._lost + now + (self._events.lost if self._events is not None else 0)

    def __enter__(self) -> Self:
        self.look()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for watched in list(self._watched.values()):
            watched.close()
        for thread in self._threads:
            thread.join(5)
        if self._events is not None:
            self._events.__exit__()

    def look(self) -> None:
        """Finds connections that are new, and how each can be watched."""
        there = {one.number: one for one in fuse_connections()}
        if self._all:
            for number in self.places.keys() ^ there.keys():
                # One that ended is no longer shown, and whoever gets its number begins anew.
                self._live.forget(number)
                if number in there:
                    self.places[number] = Place(number, _mountpoint(there[number]), "")
                else:
                    del self.places[number]
        else:
            self.over = not self.places.keys() & there.keys()
        for number, place in list(self.places.items()):
            place = self.places[number] = place._replace(waiting=there[number].waiting if number in there else None)
            if place.source:
                continue
            watched = watch(number, largest=_HEADERS)
            if watched is not None:
                self._watched[number] = watched
                self.places[number] = place._replace(source="messages")
                self._start(partial(self._follow, watched, number))
            elif self._have_events():
                self.places[number] = place._replace(source="events")

    def _start(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name="rawfuse top", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _follow(self, watched: Watched, number: int) -> None:
        with watched:
            for message in watched:
                self._live.message(message)
        self._live.forget_waiting(number)
        self._lost += watched.lost
        if self._watched.pop(number, None) is not None and number in self.places:
            # Another mount may get the number.
            self.places[number] = self.places[number]._replace(source="")

    def _have_events(self) -> bool:
        if self._events is None and not self.trouble:
            events = KernelEvents([] if self._all else list(self.places))
            try:
                self._events = events.__enter__()
            except NoKernelEvents as error:
                self.trouble = str(error)
            else:
                self._start(self._read_events)
        return self._events is not None

    def _read_events(self) -> None:
        events = self._events
        lost = 0
        while events is not None and not self._stop.is_set():
            for event in events.read(_TICK):
                if event.connection not in self._watched:
                    self._live.event(event)
            if events.lost != lost:
                lost = events.lost
                self._live.forget_waiting()

    def now(self) -> int:
        """The time by which all of it goes."""
        return time.time_ns()
