"""Pages about requests and notifications."""

from __future__ import annotations

from collections.abc import Iterator

from rawfuse.explain.page import Entry, Page, sections
from rawfuse.explain.structs import field_entries, size_of
from rawfuse.filesystem import Filesystem
from rawfuse.wire.meanings import MEANINGS
from rawfuse.wire.opcodes import Array, Fixed, Notice, Operation
from rawfuse.wire.prose import HEADER, body_lines, enosys_text, nodeid_text, reply_text, since_text, source_text

__all__ = ["notice_page", "operation_page"]

_BLOCKS = (
    "The write of it may block until requests on the same inode or directory have been answered, so it belongs in a "
    "thread that answers none."
)


def _struct_fields(structs: Iterator[str], title: str) -> Iterator[tuple[str, list[Entry]]]:
    for struct in structs:
        yield f"{title} {struct}", list(field_entries(struct))


def _body_structs(record: Operation | Notice) -> Iterator[str]:
    for part in record.body:
        if isinstance(part, (Fixed, Array)) and part.struct:
            yield part.struct


def _request(operation: Operation) -> Iterator[Entry]:
    yield Entry("nodeid", f"{nodeid_text(operation)}.", {"name": "nodeid"})
    for name, text in body_lines(operation, size_of):
        yield Entry(name, f"{text}.", {"name": name})


def _errors(operation: Operation) -> Iterator[Entry]:
    for name, text in MEANINGS[operation.opcode].errors:
        yield Entry(name, f"{text}.", {"errno": name})
    if enosys := enosys_text(operation):
        facts = {"errno": "ENOSYS", "remembered": operation.enosys.remembered, "becomes": operation.enosys.becomes}
        yield Entry("ENOSYS", f"{enosys}.", facts)


def _in_python(operation: Operation) -> str:
    method = operation.label.lower()
    handler = f"; rawfuse.Filesystem.{method}" if hasattr(Filesystem, method) else "; the library deals with it"
    return f"rawfuse.wire.{operation.request}{handler}"


def operation_page(operation: Operation) -> Page:
    """The page of one opcode."""
    meaning = MEANINGS[operation.opcode]
    return Page(
        "opcode",
        operation.name,
        operation.opcode,
        operation.doc,
        operation.since,
        sections(
            ("DESCRIPTION", operation.doc),
            ("SENT", meaning.when),
            ("REQUEST", _request(operation)),
            *_struct_fields(_body_structs(operation), "MEMBERS OF"),
            ("REPLY", reply_text(operation.reply, size_of)),
            *_struct_fields(iter(operation.reply.structs), "MEMBERS OF"),
            ("ERRORS", _errors(operation)),
            ("NOTES", [Entry("", note) for note in meaning.notes]),
            ("IN PYTHON", _in_python(operation)),
            ("SINCE", since_text(operation.since)),
            ("SOURCE", source_text(meaning)),
        ),
    )


def notice_page(notice: Notice) -> Page:
    """The page of one notify code."""
    return Page(
        "notify code",
        notice.name,
        notice.code,
        notice.doc,
        notice.since,
        sections(
            ("DESCRIPTION", notice.doc),
            (
                "SENT",
                f"By the server, when it likes: unique 0, and {notice.code} where a reply has its error. {_BLOCKS}",
            ),
            ("MESSAGE", (Entry(name, f"{text}.", {"name": name}) for name, text in body_lines(notice, size_of))),
            *_struct_fields(_body_structs(notice), "MEMBERS OF"),
            ("ERRORS", _notice_errors(notice)),
            ("IN PYTHON", f"rawfuse.wire.{notice.message}"),
            ("SINCE", since_text(notice.since)),
            ("SOURCE", f"Shape: {HEADER}. Errors: measured on Linux 6.18."),
        ),
    )


def _notice_errors(notice: Notice) -> Iterator[Entry]:
    yield Entry(
        "", "Of the write, which nobody answers otherwise." if notice.errors else "The write has none of its own."
    )
    for wrong, name in notice.errors:
        text = "another size than it must have" if wrong == "size" else wrong
        yield Entry(name, f"{text}.", {"errno": name})
