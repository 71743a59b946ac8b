"""What was fsynced since the last commit: log records, how they are written, how they are played back."""
