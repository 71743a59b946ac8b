"""Moving whole messages: the FUSE device and SOCK_SEQPACKET sockets behind one interface."""

from __future__ import annotations

from rawfuse.channel.base import Channel, ChannelClosed, Parts
from rawfuse.channel.device import DeviceChannel
from rawfuse.channel.passed import channel_of_fd, passed_fd, receive_channel, send_fd
from rawfuse.channel.seqpacket import SeqpacketChannel, seqpacket_pair

__all__ = [
    "Channel",
    "ChannelClosed",
    "DeviceChannel",
    "Parts",
    "SeqpacketChannel",
    "channel_of_fd",
    "passed_fd",
    "receive_channel",
    "send_fd",
    "seqpacket_pair",
]
