"""INIT, the form of replies, many requests at once, interrupts and notifications."""
