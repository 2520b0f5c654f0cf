//! The name of this machine, as it names itself in a network.

/// The name of this machine. None: the system gives it none, or one that is no single word in ASCII. The name is sent
/// as a header of a request, so it must not end the header.
pub fn name() -> Option<String> {
    let system = rustix::system::uname();
    let name = system.nodename().to_str().ok()?;
    (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())).then(|| name.to_owned())
}
