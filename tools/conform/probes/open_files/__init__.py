"""What is done with open files."""
