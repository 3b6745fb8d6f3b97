//! A network of a process's own, in which nothing can leave the machine whatever is tried.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Does something inside the network of a process. Sockets made there stay there.
///
/// # Errors
/// Those of the work, and where the network cannot be entered.
pub(crate) fn inside<T: Send + 'static>(
    pid: u32,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    // A thread of its own, since it does not come back.
    let thread = std::thread::spawn(move || {
        let network = File::open(format!("/proc/{pid}/ns/net"))?;
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
        work()
    });
    thread.join().unwrap()
}
