"""`rawfuse dissector`: the protocol for Wireshark and tshark, made from the schemas."""
