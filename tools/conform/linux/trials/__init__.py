"""The trials, a module for each subject; `rules` says which rule each belongs to."""
