"""`rawfuse top`: what mounts are asked right now, by opcode."""
