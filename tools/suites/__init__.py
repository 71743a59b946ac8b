"""The published POSIX suites, pjdfstest and fsx, run on the project's file systems and on ext4 beside them."""
