"""What trials play on: the kernel of this machine and ours, behind one interface, with a small made-up tree."""
