"""A mutable file system over content-addressed blocks, served through `rawfuse`."""
