"""The rules that the kernel holds its servers to, and the tests that hold both kernels to them.

Measured on Linux 6.18. A rule without `real_alone` is tested on the real kernel and on ours, by the same test.
`real_alone` says why ours has no part in it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RULES", "Rule"]


@dataclass(frozen=True)
class Rule:
    """What holds, and the tests of it: `module.function`, the module without its "test_kernel_"."""

    says: str
    tests: tuple[str, ...]
    real_alone: str = ""


def _rule(says: str, *tests: str, real_alone: str = "") -> Rule:
    return Rule(says, tests, real_alone)


def _here(module: str, *functions: str) -> tuple[str, ...]:
    return tuple(f"{module}.test_{name}" for name in functions)


_MEMORY = "it is about memory that is copied, and ours copies none"
_MOUNTING = "ours begins where a mount has been made"
_MAKES = "ours makes the requests that it is told to make"
_PAGES = "ours has no page cache, no names that expire and no programs that ask again by themselves"
_BACKING = "ours has no files to put behind another"

# fmt: off
READING = (
    _rule("before the mount read and write are EPERM, poll POLLERR",
          *_here("queue", "before_a_mount_nothing_may_be_read_or_written")),
    _rule("an unknown ioctl is ENOTTY", *_here("device", "an_ioctl_that_is_none_is_enotty"),
          real_alone="ours has the two ioctls that it has as methods"),
    _rule("with SYNC_INIT reading sleeps until the mount",
          *_here("queue", "with_synchronous_init_reading_sleeps_until_the_mount")),
    _rule("mount(2) then waits for the answer to INIT, and fails with it",
          *_here("device", "a_mount_with_synchronous_init_waits_until_it_was_answered",
                 "a_failing_synchronous_init_fails_the_mount"), real_alone=_MOUNTING),
    _rule("a buffer below max(8192, 80 + max_write) is EINVAL whatever is queued",
          *_here("queue", "a_buffer_below_8192_bytes_is_einval_whatever_is_queued",
                 "a_buffer_too_short_for_the_largest_write_is_einval")),
    _rule("a read brings one message", *_here("queue", "each_read_brings_one_message")),
    _rule("one message may be scattered over several buffers",
          *_here("device", "a_read_brings_one_message_scattered_as_one_likes"), real_alone=_MEMORY),
    _rule("a pipe takes a message if it holds the largest, and gives a reply",
          *_here("device", "a_pipe_takes_a_request_when_it_holds_the_largest"), real_alone=_MEMORY),
    _rule("an empty queue is EAGAIN, POLLOUT; a full one POLLIN too",
          *_here("queue", "an_empty_queue_is_eagain_and_poll_says_so")),
    _rule("a signal ends a read that sleeps with EINTR",
          *_here("queue", "a_signal_ends_a_read_that_sleeps_with_eintr")),
    _rule("a connection that ends while a request is copied is told as its end, while a reply is copied as ENOENT",
          *_here("half", "an_abort_while_a_request_is_read_ends_the_read_as_any_other",
                 "an_abort_while_a_reply_is_written_leaves_nothing_to_answer",
                 "a_message_copied_slowly_is_copied_all_the_same")),
    _rule("after an abort ENODEV, or ECONNABORTED where ABORT_ERROR was agreed on; callers get ECONNABORTED",
          *_here("queue", "after_an_abort_reading_says_what_was_agreed_and_callers_are_failed")),
    _rule("after an unmount ENODEV; no FORGET comes and no DESTROY",
          *_here("queue", "after_an_unmount_reading_says_enodev", "an_unmount_brings_neither_forgets_nor_destroy")),
    _rule("a request larger than the buffer fails: SETXATTR with E2BIG, else EIO; the next is read",
          *_here("queue", "a_request_larger_than_the_buffer_fails_and_the_next_one_is_read")),
    _rule("interrupts first, then sixteen forgets to eight requests, then requests",
          *_here("queue", "interrupts_come_before_forgets_and_forgets_before_requests_in_their_turn")),
    _rule("forgets come in batches, as many as the buffer holds, one alone without",
          *_here("queue", "a_batch_takes_every_forget_there_is", "one_forget_alone_is_no_batch",
                 "a_batch_holds_what_the_buffer_holds")),
    _rule("a killed caller takes back what was not read",
          *_here("queue", "a_caller_killed_before_its_request_was_read_takes_it_back")),
    _rule("a descriptor closed under a sleeping read lives on and swallows a request",
          *_here("device", "a_descriptor_closed_under_a_read_that_sleeps_lives_on_and_takes_the_next_request"),
          real_alone="ours has no readers that sleep while it is closed"),
)

WRITING = (
    _rule("a bad frame is EINVAL and leaves the request pending; a unique nobody has is ENOENT",
          *_here("rules", "a_bad_frame_leaves_the_request_pending", "one_reply_in_two_writes_is_two_bad_frames")),
    _rule("an error with a body, and a fixed reply of another size, is EINVAL and has failed the request with EIO",
          *_here("rules", "a_refused_reply_has_failed_the_request", "a_fixed_reply_has_its_size_exactly")),
    _rule("a variable reply longer than asked is EINVAL and has failed the request",
          *_here("rules", "a_reply_longer_than_asked_has_failed_the_request")),
    _rule("a variable reply may be shorter", *_here("rules", "a_shorter_reply_is_what_there_is")),
    _rule("a good reply is taken, once", *_here("rules", "the_usual_reply_is_taken", "a_second_reply_finds_nothing")),
    _rule("errors 1 to 511 reach the caller as they are", *_here("rules", "an_errno_reaches_the_caller_unfiltered")),
    _rule("a reply to FORGET, BATCH_FORGET or NOTIFY_REPLY is ENOENT",
          *_here("notify", "a_forget_takes_no_reply", "retrieve_is_answered_by_a_request_that_takes_no_reply")),
    _rule("IOCTL has room for a page of data; more than was asked for is EIO, a retry too",
          *_here("rules", "an_ioctl_that_gives_more_than_was_asked_is_eio",
                 "an_ioctl_is_answered_with_its_struct_and_at_most_a_page", "an_ioctl_may_give_less_than_was_asked",
                 "an_ioctl_is_not_tried_again_whose_command_says_its_sizes")),
)

CONTENT = (
    _rule("inodes, types, sizes, counts and locks that cannot be are EIO",
          *_here("rules", "content_that_is_not_believed_is_eio_for_the_caller")),
    _rule("what is odd and yet possible is taken", *_here("rules", "content_that_is_taken_as_it_is")),
    _rule("a WRITE of nothing is EIO through the page cache, and a short write otherwise",
          *_here("rules", "a_write_of_nothing_is_eio_through_the_page_cache")),
    _rule("nodeid 0 is a negative entry, of 128 bytes as any",
          *_here("rules", "a_negative_entry_is_an_absent_name_for_as_long_as_it_says",
                 "a_negative_entry_has_all_of_its_bytes")),
    _rule("nanoseconds beyond a second are taken", *_here("rules", "nanoseconds_of_validity_are_not_checked")),
    _rule("a bad name ends a listing, with EIO where it is the first; an entry cut off ends it without",
          *_here("listings", "a_listing_that_begins_with_a_bad_name_is_eio", "the_names_of_a_listing_with_attributes")),
    _rule("cookies are opaque", *_here("listings", "cookies_come_back_as_they_were_given")),
    _rule("READDIRPLUS takes a reference for each entry of each reply but dots and nodeid 0",
          *_here("listings", "each_entry_of_each_reply_takes_one_reference",
                 "dots_and_names_alone_take_no_reference")),
    _rule("a reference to an inode that is not believed comes back as FORGET",
          *_here("listings", "a_reference_to_what_is_not_believed_is_given_back_at_once")),
)

INTERRUPTS = (
    _rule("uniques are even and step by two", *_here("rules", "uniques_are_even_and_step_by_two")),
    _rule("INTERRUPT has its target's unique with bit 0, and nothing else",
          *_here("interrupt", "an_interrupt_names_its_target_and_nothing_else")),
    _rule("it comes once, when its target was read and is not answered",
          *_here("queue", "an_interrupt_comes_only_after_its_request_was_read",
                 "an_interrupt_that_nobody_read_goes_with_its_request", "only_the_first_signal_brings_an_interrupt")),
    _rule("it may be answered with any errno, by a header alone",
          *_here("interrupt", "an_interrupt_may_be_answered_with_anything",
                 "an_interrupt_is_answered_with_a_header_alone")),
    _rule("ENOSYS ends interrupts", *_here("interrupt", "enosys_ends_interrupts_on_the_connection")),
    _rule("EAGAIN brings it again; ENOENT when its target is answered, however late",
          *_here("interrupt", "eagain_brings_the_interrupt_again",
                 "an_answer_to_the_interrupt_of_a_finished_request_finds_nothing")),
    _rule("the caller waits for its own request's answer",
          *_here("interrupt", "the_caller_waits_until_its_own_request_is_answered")),
    _rule("a caller may ask again after EINTR, with a new unique",
          *_here("interrupt", "a_caller_that_asks_again_after_eintr_has_a_new_request"), real_alone=_PAGES),
    _rule("RESEND: what was read comes again with bit 63, before what was not; the old unique is dead",
          *_here("interrupt", "a_request_sent_again_has_bit_63_and_its_old_unique_is_dead",
                 "every_request_in_flight_is_sent_again", "resending_twice_changes_nothing_more"),
          *_here("queue", "resend_brings_what_any_descriptor_read_before_what_nobody_did",
                 "an_interrupt_comes_behind_its_request_when_that_is_sent_again")),
)

NOTIFICATIONS = (
    _rule("sizes are exact", *_here("notify", "a_notification_has_its_size_exactly")),
    _rule("INC_EPOCH and RESEND take any body", *_here("notify", "a_notification_that_has_no_body_takes_any")),
    _rule("unknown inodes and names are ENOENT, long names ENAMETOOLONG, STORE in a directory EINVAL",
          *_here("notify", "what_write_says_to")),
    _rule("codes that are none are EINVAL", *_here("notify", "other_codes_are_no_notifications")),
    _rule("a name that is dropped is not known until it is looked up again, also where DELETE names another child",
          *_here("notify", "a_name_dropped_is_looked_up_again_and_not_known_any_more",
                 "delete_of_another_child_drops_the_name_all_the_same")),
    _rule("any descriptor takes them", *_here("queue", "any_descriptor_takes_notifications")),
    _rule("writing INVAL_ENTRY and INVAL_INODE waits for requests that are held",
          *_here("held", "nothing_hangs_when_a_name_is_invalidated_while_a_mkdir_is_held",
                 "nothing_hangs_when_an_inode_is_invalidated_while_a_read_is_held"), real_alone=_PAGES),
)

DESCRIPTORS = (
    _rule("CLONE takes a fresh descriptor of a mounted one: else EINVAL, EPERM",
          *_here("queue", "cloning_needs_a_fresh_descriptor_and_a_mounted_one")),
    _rule("CLONE of what is no FUSE device is EINVAL", *_here("device", "cloning_needs_a_mounted_device"),
          real_alone="ours has no other descriptors"),
    _rule("an answer goes to the descriptor its request was read from; ENOENT elsewhere",
          *_here("queue", "a_reply_goes_to_the_descriptor_its_request_came_from",
                 "the_answer_to_an_interrupt_goes_where_its_request_came_from")),
    _rule("closing one fails what it has read with ECONNABORTED; with the last one callers get ENOTCONN",
          *_here("queue", "closing_a_clone_fails_only_what_it_read",
                 "closing_the_last_descriptor_fails_what_was_read_and_ends_the_connection")),
)

ENOSYS = (
    _rule("what ENOSYS comes to for each opcode, and whether it is asked again",
          *_here("enosys", "enosys_is_seen_as_and_remembered_or_not")),
    _rule("what is asked in the place of CREATE, STATX, LSEEK and copies",
          *_here("enosys", "other_requests_take_the_place_of_an_absent_one",
                 "copying_ends_with_read_and_write_when_both_opcodes_are_absent")),
    _rule("without OPEN no RELEASE comes", *_here("enosys", "an_open_that_is_absent_has_no_release")),
    _rule("RELEASE, RELEASEDIR and DESTROY are passed over",
          *_here("enosys", "a_release_that_is_absent_is_passed_over_and_comes_again",
                 "a_destroy_that_is_absent_is_passed_over")),
    _rule("without OPENDIR listings are kept", *_here("enosys", "an_opendir_that_is_absent_has_its_listing_kept"),
          real_alone=_PAGES),
    _rule("without GETXATTR capabilities are not asked for before a first write",
          *_here("enosys", "getxattr_absent_ends_the_question_for_capabilities_before_a_first_write"),
          real_alone=_MAKES),
)

INIT = (
    _rule("INIT is the first, unique 2, nodeid 0, 104 bytes",
          *_here("rules", "init_is_the_first_message_and_has_104_bytes")),
    _rule("the flags that 6.18 offers", *_here("rules", "what_a_kernel_of_this_minor_offers_is_what_ours_offers"),
          real_alone="it is ours that is compared"),
    _rule("8 to 64 bytes answer it at any minor",
          *_here("init", "init_may_be_answered_with_8_to_64_bytes_at_any_minor")),
    _rule("an error, another major, another size, ALLOW_IDMAP unchecked: ECONNREFUSED for good, no second INIT",
          *_here("init", "a_bad_answer_to_init_ends_the_connection", "idmapped_mounts_need_modes_to_be_checked")),
    _rule("flags2 counts with INIT_EXT only", *_here("init", "flags2_is_passed_over_without_init_ext")),
    _rule("WRITEBACK_CACHE and PASSTHROUGH exclude each other; PASSTHROUGH needs a depth",
          *_here("init", "passthrough_stands_back_for_the_writeback_cache")),
    _rule("POSIX_ACL makes the kernel check modes", *_here("requests", "posix_acls_make_the_kernel_check_modes"),
          real_alone="ours has no modes to check; what it agrees on says so"),
    _rule("replies and requests have the sizes of the minor answered",
          *_here("init", "replies_have_the_size_of_the_minor_answered",
                 "requests_have_the_size_of_the_minor_answered")),
    _rule("below a minor RENAME2, an ioctl of a directory, BATCH_FORGET are not sent",
          *_here("init", "below_a_minor_a_request_is_held_back"),
          *_here("queue", "interrupts_come_before_forgets_and_forgets_before_requests_in_their_turn")),
    _rule("SETXATTR goes by its flag alone", *_here("init", "setxattr_is_longer_with_setxattr_ext_whatever_the_minor")),
    _rule("opcode 53 is sent whatever the minor",
          *_here("init", "a_copy_is_asked_for_by_opcode_53_even_below_minor_45")),
    _rule("the largest READ and WRITE", *_here("init", "the_largest_messages_follow_from_init")),
    _rule("the longest name", *_here("init", "max_pages_lifts_the_longest_name")),
)

MOUNTING = tuple(
    Rule(rule.says, rule.tests, _MOUNTING)
    for rule in (
        _rule("fd, rootmode, user_id and group_id are required; which others are taken",
              *_here("mounting_rules", "four_options_are_required", "an_option_of_the_kernel_is_taken",
                     "an_option_of_others_is_refused", "the_type_may_name_a_kind_of_fuse",
                     "a_max_read_below_a_page_is_a_page")),
        _rule("rootmode gives the type, GETATTR of 1 the rest; a file lies on a file",
              *_here("mounting_rules", "the_root_has_the_type_of_rootmode_and_the_attributes_of_getattr",
                     "a_root_that_is_a_file_lies_on_no_directory", "a_root_that_is_a_file_lies_on_a_file")),
        _rule("which descriptors mount, and that one mounts twice",
              *_here("mounting_rules", "what_is_no_fuse_device_is_refused",
                     "a_device_opened_for_reading_alone_mounts",
                     "the_same_descriptor_mounts_the_same_file_system_again")),
        _rule("fsopen(2): the number as a string, and the kernel's words",
              *_here("mounting_rules", "the_device_is_given_by_its_number_as_a_string",
                     "the_kernels_words_are_read_from_the_context")),
        _rule("a mount that hangs nowhere", *_here("mount", "a_detached_mount_leaves_no_trace")),
        _rule("an ordinary user mounts in a namespace of their own, before any thread",
              *_here("mount", "an_ordinary_user_mounts_in_a_namespace_of_their_own",
                     "a_namespace_is_refused_once_there_are_threads")),
        _rule("others are refused without a request unless allowed",
              *_here("mounting_rules", "others_are_refused_without_a_request_unless_allowed")),
        _rule("the helper's handshake", *_here("mount", "every_way_of_mounting_shows_the_same_mount"),
              *_here("device", "the_helper_unmounts_when_its_lifeline_ends")),
        _rule("unmounting: busy, forced, detached",
              *_here("mounting_rules", "a_mount_in_use_is_busy",
                     "a_forced_unmount_aborts_what_is_asked_even_where_it_is_busy",
                     "a_detached_mount_is_served_while_it_is_used")),
        _rule("fusectl's files by number",
              *_here("mounting_rules", "a_connection_has_its_files_in_fusectl_by_its_number")),
    )
)

REQUESTS = tuple(
    Rule(rule.says, rule.tests, _MAKES)
    for rule in (
        _rule("what the kernel does by itself has pid 0",
              *_here("requests", "what_the_kernel_does_by_itself_has_pid_0", "cached_writes_come_without_a_caller",
                     "a_reference_dropped_has_pid_0")),
        _rule("TMPFILE's name is a slash", *_here("requests", "a_file_without_a_name_is_asked_for_by_a_slash")),
        _rule("modes are masked unless DONT_MASK",
              *_here("requests", "the_mode_of_mkdir_is_masked_already_unless_dont_mask")),
        _rule("truncate(2) sends LOCKOWNER", *_here("requests", "truncating_says_whose_locks_it_respects")),
        _rule("READDIR is as large as the caller's buffer",
              *_here("requests", "a_listing_is_asked_for_as_large_as_the_callers_buffer")),
        _rule("extensions come that were agreed on",
              *_here("requests", "a_supplementary_group_comes_where_it_is_the_directorys",
                     "a_security_context_comes_empty_where_no_module_has_one",
                     "no_extension_comes_that_was_not_agreed_on")),
        _rule("copies: 64 bits, EOPNOTSUPP and EXDEV for once, ENOSYS for good, EINVAL for the caller",
              *_here("requests", "one_message_copies_whatever_length_in_64_bits",
                     "a_copy_refused_is_read_and_written_and_the_next_one_asked_for_again", "einval_ends_a_copy")),
        _rule("FICLONE never comes", *_here("requests", "a_clone_of_a_file_is_refused_without_a_request")),
    )
)

PASSTHROUGH = tuple(
    Rule(rule.says, rule.tests, _BACKING)
    for rule in (
        _rule("a backing file is read and written past the server; its number dies with BACKING_CLOSE",
              *_here("device", "a_backing_file_is_read_and_written_by_the_kernel_alone")),
        _rule("another way of opening beside it is EIO",
              *_here("device", "another_way_of_opening_beside_a_passthrough_open_is_eio")),
    )
)

RULES = (
    *READING, *WRITING, *CONTENT, *INTERRUPTS, *NOTIFICATIONS, *DESCRIPTORS, *ENOSYS, *INIT, *MOUNTING, *REQUESTS,
    *PASSTHROUGH,
)
# fmt: on
