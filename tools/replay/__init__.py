"""`rawfuse replay`: the requests of a trace, given to a server anew, and its replies held against the recorded ones."""
