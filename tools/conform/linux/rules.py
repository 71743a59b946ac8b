"""The rules that the kernel holds its servers to, each with the trials that show it.

Measured on Linux 6.18. A rule without `real_alone` is tried on the real kernel and on ours, by the same trials.
`real_alone` says why ours has no part in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .trial import Trial
from .trials import (
    absence,
    device,
    half,
    held,
    init,
    interrupts,
    listings,
    mounting,
    namespaces,
    notifications,
    queue,
    replies,
    requests,
)

__all__ = ["ABOUT", "RULES", "Rule"]


@dataclass(frozen=True)
class Rule:
    """What holds.

    Attributes:
        name: "group.rule", for --only and for comparing reports.
        says: the rule, in a sentence.
        source: where in Linux it is written; all were measured on 6.18 besides.
        trials: what shows it.
        real_alone: why ours is not tried, else empty.
    """

    name: str
    says: str
    source: str
    trials: tuple[Trial, ...]
    real_alone: str = ""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kernels that it is tried on: "real" and "fake"."""
        return ("real",) if self.real_alone else ("real", "fake")


def _rule(name: str, says: str, *trials: Trial, real_alone: str = "") -> Rule:
    return Rule(name, says, "", trials, real_alone)


def _group(name: str, source: str, *rules: Rule, real_alone: str = "") -> tuple[Rule, ...]:
    return tuple(
        Rule(f"{name}.{one.name}", one.says, source, one.trials, one.real_alone or real_alone) for one in rules
    )


_MEMORY = "it is about memory that is copied, and ours copies none"
_MOUNTING = "ours begins where a mount has been made"
_MAKES = "ours makes the requests that it is told to make"
_PAGES = "ours has no page cache, no names that expire and no programs that ask again by themselves"
_BACKING = "ours has no files to put behind another"

# fmt: off
READING = _group(
    "reading", "fs/fuse/dev.c, fuse_dev_do_read and fuse_dev_poll",
    _rule("before-the-mount", "before the mount read and write are EPERM, poll POLLERR",
          queue.before_a_mount_nothing_may_be_read_or_written),
    _rule("unknown-ioctl", "an unknown ioctl is ENOTTY",
          device.an_ioctl_that_is_none_is_enotty, real_alone="ours has the two ioctls that it has as methods"),
    _rule("sync-init", "with SYNC_INIT reading sleeps until the mount",
          queue.with_synchronous_init_reading_sleeps_until_the_mount),
    _rule("sync-init-mount", "mount(2) then waits for the answer to INIT, and fails with it",
          device.a_mount_with_synchronous_init_waits_until_it_was_answered,
          device.a_failing_synchronous_init_fails_the_mount, real_alone=_MOUNTING),
    _rule("buffer", "a buffer below max(8192, 80 + max_write) is EINVAL whatever is queued",
          queue.a_buffer_below_8192_bytes_is_einval_whatever_is_queued,
          queue.a_buffer_too_short_for_the_largest_write_is_einval),
    _rule("one-message", "a read brings one message",
          queue.each_read_brings_one_message),
    _rule("scattered", "one message may be scattered over several buffers",
          device.a_read_brings_one_message_scattered_as_one_likes, real_alone=_MEMORY),
    _rule("splice", "a pipe takes a message if it holds the largest, and gives a reply",
          device.a_pipe_takes_a_request_when_it_holds_the_largest, real_alone=_MEMORY),
    _rule("empty-queue", "an empty queue is EAGAIN, POLLOUT; a full one POLLIN too",
          queue.an_empty_queue_is_eagain_and_poll_says_so),
    _rule("signal", "a signal ends a read that sleeps with EINTR",
          queue.a_signal_ends_a_read_that_sleeps_with_eintr),
    _rule("ends-halfway", "a connection that ends while a request is copied is told as its end, while a reply is "
          "copied as ENOENT",
          half.an_abort_while_a_request_is_read_ends_the_read_as_any_other,
          half.an_abort_while_a_reply_is_written_leaves_nothing_to_answer,
          half.a_message_copied_slowly_is_copied_all_the_same),
    _rule("abort", "after an abort ENODEV, or ECONNABORTED where ABORT_ERROR was agreed on; callers get ECONNABORTED",
          queue.after_an_abort_reading_says_what_was_agreed_and_callers_are_failed),
    _rule("unmount", "after an unmount ENODEV; no FORGET comes and no DESTROY",
          queue.after_an_unmount_reading_says_enodev, queue.an_unmount_brings_neither_forgets_nor_destroy),
    _rule("too-large", "a request larger than the buffer fails: SETXATTR with E2BIG, else EIO; the next is read",
          queue.a_request_larger_than_the_buffer_fails_and_the_next_one_is_read),
    _rule("order", "interrupts first, then sixteen forgets to eight requests, then requests",
          queue.interrupts_come_before_forgets_and_forgets_before_requests_in_their_turn),
    _rule("forget-batches", "forgets come in batches, as many as the buffer holds, one alone without",
          queue.a_batch_takes_every_forget_there_is, queue.one_forget_alone_is_no_batch,
          queue.a_batch_holds_what_the_buffer_holds),
    _rule("killed-caller", "a killed caller takes back what was not read",
          queue.a_caller_killed_before_its_request_was_read_takes_it_back),
    _rule("closed-under-a-reader", "a descriptor closed under a sleeping read lives on and swallows a request",
          device.a_descriptor_closed_under_a_read_that_sleeps_lives_on_and_takes_the_next_request,
          real_alone="ours has no readers that sleep while it is closed"),
)

WRITING = _group(
    "writing", "fs/fuse/dev.c, fuse_dev_do_write and fuse_copy_out_args",
    _rule("bad-frame", "a bad frame is EINVAL and leaves the request pending; a unique nobody has is ENOENT",
          replies.a_bad_frame_leaves_the_request_pending, replies.one_reply_in_two_writes_is_two_bad_frames),
    _rule("refused-reply", "an error with a body, and a fixed reply of another size, is EINVAL and has failed the "
          "request with EIO",
          replies.a_refused_reply_has_failed_the_request, replies.a_fixed_reply_has_its_size_exactly),
    _rule("too-long", "a variable reply longer than asked is EINVAL and has failed the request",
          replies.a_reply_longer_than_asked_has_failed_the_request),
    _rule("shorter", "a variable reply may be shorter",
          replies.a_shorter_reply_is_what_there_is),
    _rule("once", "a good reply is taken, once",
          replies.the_usual_reply_is_taken, replies.a_second_reply_finds_nothing),
    _rule("errno", "errors 1 to 511 reach the caller as they are",
          replies.an_errno_reaches_the_caller_unfiltered),
    _rule("no-reply-wanted", "a reply to FORGET, BATCH_FORGET or NOTIFY_REPLY is ENOENT",
          notifications.a_forget_takes_no_reply,
          notifications.retrieve_is_answered_by_a_request_that_takes_no_reply),
    _rule("ioctl", "IOCTL has room for a page of data; more than was asked for is EIO, a retry too",
          replies.an_ioctl_that_gives_more_than_was_asked_is_eio,
          replies.an_ioctl_is_answered_with_its_struct_and_at_most_a_page,
          replies.an_ioctl_may_give_less_than_was_asked,
          replies.an_ioctl_is_not_tried_again_whose_command_says_its_sizes),
)

CONTENT = _group(
    "content", "fs/fuse/dir.c, file.c, readdir.c and xattr.c",
    _rule("not-believed", "inodes, types, sizes, counts and locks that cannot be are EIO",
          replies.content_that_is_not_believed_is_eio_for_the_caller),
    _rule("taken", "what is odd and yet possible is taken",
          replies.content_that_is_taken_as_it_is),
    _rule("write-of-nothing", "a WRITE of nothing is EIO through the page cache, and a short write otherwise",
          replies.a_write_of_nothing_is_eio_through_the_page_cache),
    _rule("negative-entry", "nodeid 0 is a negative entry, of 128 bytes as any",
          replies.a_negative_entry_is_an_absent_name_for_as_long_as_it_says,
          replies.a_negative_entry_has_all_of_its_bytes),
    _rule("nanoseconds", "nanoseconds beyond a second are taken",
          replies.nanoseconds_of_validity_are_not_checked),
    _rule("listing", "a bad name ends a listing, with EIO where it is the first; an entry cut off ends it without",
          listings.a_listing_that_begins_with_a_bad_name_is_eio, listings.the_names_of_a_listing_with_attributes),
    _rule("cookies", "cookies are opaque",
          listings.cookies_come_back_as_they_were_given),
    _rule("plus-references", "READDIRPLUS takes a reference for each entry of each reply but dots and nodeid 0",
          listings.each_entry_of_each_reply_takes_one_reference, listings.dots_and_names_alone_take_no_reference),
    _rule("plus-given-back", "a reference to an inode that is not believed comes back as FORGET",
          listings.a_reference_to_what_is_not_believed_is_given_back_at_once),
)

INTERRUPTS = _group(
    "interrupts", "fs/fuse/dev.c, fuse_read_interrupt and fuse_resend",
    _rule("uniques", "uniques are even and step by two",
          replies.uniques_are_even_and_step_by_two),
    _rule("header", "INTERRUPT has its target's unique with bit 0, and nothing else",
          interrupts.an_interrupt_names_its_target_and_nothing_else),
    _rule("once", "it comes once, when its target was read and is not answered",
          queue.an_interrupt_comes_only_after_its_request_was_read,
          queue.an_interrupt_that_nobody_read_goes_with_its_request,
          queue.only_the_first_signal_brings_an_interrupt),
    _rule("answer", "it may be answered with any errno, by a header alone",
          interrupts.an_interrupt_may_be_answered_with_anything,
          interrupts.an_interrupt_is_answered_with_a_header_alone),
    _rule("enosys", "ENOSYS ends interrupts",
          interrupts.enosys_ends_interrupts_on_the_connection),
    _rule("eagain", "EAGAIN brings it again; ENOENT when its target is answered, however late",
          interrupts.eagain_brings_the_interrupt_again,
          interrupts.an_answer_to_the_interrupt_of_a_finished_request_finds_nothing),
    _rule("caller-waits", "the caller waits for its own request's answer",
          interrupts.the_caller_waits_until_its_own_request_is_answered),
    _rule("asked-again", "a caller may ask again after EINTR, with a new unique",
          interrupts.a_caller_that_asks_again_after_eintr_has_a_new_request, real_alone=_PAGES),
    _rule("resend", "RESEND: what was read comes again with bit 63, before what was not; the old unique is dead",
          interrupts.a_request_sent_again_has_bit_63_and_its_old_unique_is_dead,
          interrupts.every_request_in_flight_is_sent_again, interrupts.resending_twice_changes_nothing_more,
          queue.resend_brings_what_any_descriptor_read_before_what_nobody_did,
          queue.an_interrupt_comes_behind_its_request_when_that_is_sent_again),
)

NOTIFICATIONS = _group(
    "notifications", "fs/fuse/dev.c, fuse_notify",
    _rule("sizes", "sizes are exact",
          notifications.a_notification_has_its_size_exactly),
    _rule("any-body", "INC_EPOCH and RESEND take any body",
          notifications.a_notification_that_has_no_body_takes_any),
    _rule("unknown", "unknown inodes and names are ENOENT, long names ENAMETOOLONG, STORE in a directory EINVAL",
          notifications.what_write_says_to),
    _rule("codes", "codes that are none are EINVAL",
          notifications.other_codes_are_no_notifications),
    _rule("dropped-name", "a name that is dropped is not known until it is looked up again, also where DELETE names "
          "another child",
          notifications.a_name_dropped_is_looked_up_again_and_not_known_any_more,
          notifications.delete_of_another_child_drops_the_name_all_the_same),
    _rule("any-descriptor", "any descriptor takes them",
          queue.any_descriptor_takes_notifications),
    _rule("held", "writing INVAL_ENTRY and INVAL_INODE waits for requests that are held",
          held.a_name_is_not_invalidated_while_a_mkdir_is_held,
          held.an_inode_is_not_invalidated_while_a_read_is_held, real_alone=_PAGES),
)

DESCRIPTORS = _group(
    "descriptors", "fs/fuse/dev.c, fuse_dev_ioctl and fuse_dev_release",
    _rule("clone", "CLONE takes a fresh descriptor of a mounted one: else EINVAL, EPERM",
          queue.cloning_needs_a_fresh_descriptor_and_a_mounted_one),
    _rule("clone-others", "CLONE of what is no FUSE device is EINVAL",
          device.cloning_needs_a_mounted_device, real_alone="ours has no other descriptors"),
    _rule("answer", "an answer goes to the descriptor its request was read from; ENOENT elsewhere",
          queue.a_reply_goes_to_the_descriptor_its_request_came_from,
          queue.the_answer_to_an_interrupt_goes_where_its_request_came_from),
    _rule("closing", "closing one fails what it has read with ECONNABORTED; with the last one callers get ENOTCONN",
          queue.closing_a_clone_fails_only_what_it_read,
          queue.closing_the_last_descriptor_fails_what_was_read_and_ends_the_connection),
)

ENOSYS = _group(
    "enosys", "fs/fuse/dir.c, file.c, xattr.c: the no_ members of struct fuse_conn",
    _rule("remembered", "what ENOSYS comes to for each opcode, and whether it is asked again",
          absence.enosys_is_seen_as_and_remembered_or_not),
    _rule("instead", "what is asked in the place of CREATE, STATX, LSEEK and copies",
          absence.other_requests_take_the_place_of_an_absent_one,
          absence.copying_ends_with_read_and_write_when_both_opcodes_are_absent),
    _rule("open", "without OPEN no RELEASE comes",
          absence.an_open_that_is_absent_has_no_release),
    _rule("release", "RELEASE, RELEASEDIR and DESTROY are passed over",
          absence.a_release_that_is_absent_is_passed_over_and_comes_again,
          absence.a_destroy_that_is_absent_is_passed_over),
    _rule("opendir", "without OPENDIR listings are kept",
          absence.an_opendir_that_is_absent_has_its_listing_kept, real_alone=_PAGES),
    _rule("getxattr", "without GETXATTR capabilities are not asked for before a first write",
          absence.getxattr_absent_ends_the_question_for_capabilities_before_a_first_write, real_alone=_MAKES),
)

INIT = _group(
    "init", "fs/fuse/inode.c, fuse_send_init and process_init_reply",
    _rule("first", "INIT is the first, unique 2, nodeid 0, 104 bytes",
          replies.init_is_the_first_message_and_has_104_bytes),
    _rule("offer", "the flags that 6.18 offers",
          replies.what_a_kernel_of_this_minor_offers_is_what_ours_offers, real_alone="it is ours that is compared"),
    _rule("length", "8 to 64 bytes answer it at any minor",
          init.init_may_be_answered_with_8_to_64_bytes_at_any_minor),
    _rule("refused", "an error, another major, another size, ALLOW_IDMAP unchecked: ECONNREFUSED for good, no "
          "second INIT",
          init.a_bad_answer_to_init_ends_the_connection, init.idmapped_mounts_need_modes_to_be_checked),
    _rule("flags2", "flags2 counts with INIT_EXT only",
          init.flags2_is_passed_over_without_init_ext),
    _rule("passthrough", "WRITEBACK_CACHE and PASSTHROUGH exclude each other; PASSTHROUGH needs a depth",
          init.passthrough_stands_back_for_the_writeback_cache),
    _rule("posix-acl", "POSIX_ACL makes the kernel check modes",
          requests.posix_acls_make_the_kernel_check_modes,
          real_alone="ours has no modes to check; what it agrees on says so"),
    _rule("sizes", "replies and requests have the sizes of the minor answered",
          init.replies_have_the_size_of_the_minor_answered, init.requests_have_the_size_of_the_minor_answered),
    _rule("held-back", "below a minor RENAME2, an ioctl of a directory, BATCH_FORGET are not sent",
          init.below_a_minor_a_request_is_held_back,
          queue.interrupts_come_before_forgets_and_forgets_before_requests_in_their_turn),
    _rule("setxattr", "SETXATTR goes by its flag alone",
          init.setxattr_is_longer_with_setxattr_ext_whatever_the_minor),
    _rule("copy-64", "opcode 53 is sent whatever the minor",
          init.a_copy_is_asked_for_by_opcode_53_even_below_minor_45),
    _rule("largest", "the largest READ and WRITE",
          init.the_largest_messages_follow_from_init),
    _rule("name", "the longest name",
          init.max_pages_lifts_the_longest_name),
)

MOUNTING = _group(
    "mounting", "fs/fuse/inode.c, fuse_parse_param and fuse_fill_super",
    _rule("options", "fd, rootmode, user_id and group_id are required; which others are taken",
          mounting.four_options_are_required, mounting.an_option_of_the_kernel_is_taken,
          mounting.an_option_of_others_is_refused, mounting.the_type_may_name_a_kind_of_fuse,
          mounting.a_max_read_below_a_page_is_a_page),
    _rule("root", "rootmode gives the type, GETATTR of 1 the rest; a file lies on a file",
          mounting.the_root_has_the_type_of_rootmode_and_the_attributes_of_getattr,
          mounting.a_root_that_is_a_file_lies_on_no_directory, mounting.a_root_that_is_a_file_lies_on_a_file),
    _rule("descriptors", "which descriptors mount, and that one mounts twice",
          mounting.what_is_no_fuse_device_is_refused, mounting.a_device_opened_for_reading_alone_mounts,
          mounting.the_same_descriptor_mounts_the_same_file_system_again),
    _rule("fsopen", "fsopen(2): the number as a string, and the kernel's words",
          mounting.the_device_is_given_by_its_number_as_a_string,
          mounting.the_kernels_words_are_read_from_the_context),
    _rule("detached", "a mount that hangs nowhere",
          namespaces.a_detached_mount_leaves_no_trace),
    _rule("namespace", "an ordinary user mounts in a namespace of their own, before any thread",
          namespaces.an_ordinary_user_mounts_in_a_namespace_of_their_own,
          namespaces.a_namespace_is_refused_once_there_are_threads),
    _rule("others", "others are refused without a request unless allowed",
          mounting.others_are_refused_without_a_request_unless_allowed),
    _rule("unmounting", "unmounting: busy, forced, detached",
          mounting.a_mount_in_use_is_busy, mounting.a_forced_unmount_aborts_what_is_asked_even_where_it_is_busy,
          mounting.a_detached_mount_is_served_while_it_is_used),
    _rule("fusectl", "fusectl's files by number",
          mounting.a_connection_has_its_files_in_fusectl_by_its_number),
    real_alone=_MOUNTING,
)

REQUESTS = _group(
    "requests", "fs/fuse/dir.c, file.c and dev.c",
    _rule("pid-0", "what the kernel does by itself has pid 0",
          requests.what_the_kernel_does_by_itself_has_pid_0, requests.cached_writes_come_without_a_caller,
          requests.a_reference_dropped_has_pid_0),
    _rule("tmpfile", "TMPFILE's name is a slash",
          requests.a_file_without_a_name_is_asked_for_by_a_slash),
    _rule("umask", "modes are masked unless DONT_MASK",
          requests.the_mode_of_mkdir_is_masked_already_unless_dont_mask),
    _rule("truncate", "truncate(2) sends LOCKOWNER",
          requests.truncating_says_whose_locks_it_respects),
    _rule("readdir", "READDIR is as large as the caller's buffer",
          requests.a_listing_is_asked_for_as_large_as_the_callers_buffer),
    _rule("extensions", "extensions come that were agreed on",
          requests.a_supplementary_group_comes_where_it_is_the_directorys,
          requests.a_security_context_comes_empty_where_no_module_has_one,
          requests.no_extension_comes_that_was_not_agreed_on),
    _rule("copies", "copies: 64 bits, EOPNOTSUPP and EXDEV for once, ENOSYS for good, EINVAL for the caller",
          requests.one_message_copies_whatever_length_in_64_bits,
          requests.a_copy_refused_is_read_and_written_and_the_next_one_asked_for_again, requests.einval_ends_a_copy),
    _rule("ficlone", "FICLONE never comes",
          requests.a_clone_of_a_file_is_refused_without_a_request),
    real_alone=_MAKES,
)

PASSTHROUGH = _group(
    "passthrough", "fs/fuse/passthrough.c and iomode.c",
    _rule("backing", "a backing file is read and written past the server; its number dies with BACKING_CLOSE",
          device.a_backing_file_is_read_and_written_by_the_kernel_alone, device.a_device_backs_nothing),
    _rule("beside", "another way of opening beside it is EIO",
          device.another_way_of_opening_beside_a_passthrough_open_is_eio),
    real_alone=_BACKING,
)

RULES: Final = (
    *READING, *WRITING, *CONTENT, *INTERRUPTS, *NOTIFICATIONS, *DESCRIPTORS, *ENOSYS, *INIT, *MOUNTING, *REQUESTS,
    *PASSTHROUGH,
)
# fmt: on

ABOUT: Final = {
    "reading": "What reading the device brings, and when",
    "writing": "What write(2) says to replies, and what callers see",
    "content": "Which contents of replies are believed",
    "interrupts": "Uniques, interrupts, and requests that are sent again",
    "notifications": "What write(2) says to notifications",
    "descriptors": "Several descriptors of one connection",
    "enosys": "What ENOSYS comes to, and is remembered for",
    "init": "What is agreed on by INIT, and what follows",
    "mounting": "What is taken for a mount, and how it ends",
    "requests": "What requests carry, and which never come",
    "passthrough": "Backing files",
}
"""The groups, by the first part of a rule's name."""
