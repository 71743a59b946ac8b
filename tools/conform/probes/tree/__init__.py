"""Names, nodeids and their lifetimes, directories."""
