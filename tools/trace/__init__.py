"""`rawfuse trace`: between the kernel and any FUSE server, keeping every message."""
