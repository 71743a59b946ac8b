//! fuser, whose `mount` takes /dev/fd/N for a mount point as libfuse and go-fuse do: a channel that was passed on.
pub use fuser_itself::*;

use std::{fs::File, io, os::fd::FromRawFd, path::Path};

/// Serves until the channel ends.
pub fn mount<FS: Filesystem, P: AsRef<Path>>(filesystem: FS, mountpoint: P, options: &Config) -> io::Result<()> {
    let passed = mountpoint.as_ref().to_str().and_then(|path| path.strip_prefix("/dev/fd/")?.parse().ok());
    match passed {
        // SAFETY: whoever passed the descriptor left it to us.
        Some(fd) => {
            let channel = unsafe { File::from_raw_fd(fd) }.into();
            let mut config = options.clone();
            config.acl = SessionACL::All; // who asks is for the sender to decide
            Session::from_fd(filesystem, channel, config.acl, config)?.run()
        }
        None => fuser_itself::mount(filesystem, mountpoint, options),
    }
}
