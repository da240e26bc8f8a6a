// SPDX-License-Identifier: GPL-2.0-only
//! Xen's error numbers, the only error type of this crate.
//!
//! Values and names are those of Xen's `include/public/errno.h`, which is part
//! of the stable ABI. Functions return `Result<_, Errno>`; the C border turns
//! that into `0` or `-errno` and back.

#![forbid(unsafe_code)]

macro_rules! errno {
    ($($(#[$doc:meta])* $name:ident = $value:literal,)*) => {
        /// One error number of Xen's public ABI, as a positive value.
        ///
        /// The two aliases of the header, `EWOULDBLOCK` and `EDEADLOCK`, are
        /// spelt [`Errno::EAGAIN`] and [`Errno::EDEADLK`] here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Errno {
            $($(#[$doc])* $name = $value,)*
        }

        impl Errno {
            /// Every error number, in ascending order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The error behind a C return code, which is 0 or negative.
            ///
            /// Positive codes carry no error and count as success, as they do
            /// for the Xen functions that return a pirq or a count.
            ///
            /// # Errors
            /// The number itself; [`Errno::EIO`] for one that Xen's header does
            /// not name, so that no failure is ever dropped.
            pub const fn check(rc: i32) -> Result<(), Self> {
                if rc >= 0 {
                    return Ok(());
                }
                let mut rest = Self::ALL;
                while let [errno, others @ ..] = rest {
                    if errno.to_c() == rc {
                        return Err(*errno);
                    }
                    rest = others;
                }
                Err(Self::EIO)
            }
        }
    };
}

errno! {
    /// Operation not permitted.
    EPERM = 1,
    /// No such file or directory.
    ENOENT = 2,
    /// No such process; for Xen: no such domain.
    ESRCH = 3,
    /// Interrupted call.
    EINTR = 4,
    /// Input/output error.
    EIO = 5,
    /// No such device or address.
    ENXIO = 6,
    /// Argument list too long.
    E2BIG = 7,
    /// Executable format error.
    ENOEXEC = 8,
    /// Bad handle.
    EBADF = 9,
    /// No children.
    ECHILD = 10,
    /// Try again.
    EAGAIN = 11,
    /// Out of memory.
    ENOMEM = 12,
    /// Access denied.
    EACCES = 13,
    /// Bad guest address.
    EFAULT = 14,
    /// Busy.
    EBUSY = 16,
    /// Exists already.
    EEXIST = 17,
    /// Link across devices.
    EXDEV = 18,
    /// No such device.
    ENODEV = 19,
    /// Not a directory.
    ENOTDIR = 20,
    /// A directory.
    EISDIR = 21,
    /// Invalid argument.
    EINVAL = 22,
    /// File table overflow.
    ENFILE = 23,
    /// Too many open files.
    EMFILE = 24,
    /// No space left.
    ENOSPC = 28,
    /// Read-only.
    EROFS = 30,
    /// Too many links.
    EMLINK = 31,
    /// Argument out of the function's domain.
    EDOM = 33,
    /// Result out of range.
    ERANGE = 34,
    /// Deadlock would occur.
    EDEADLK = 35,
    /// Name too long.
    ENAMETOOLONG = 36,
    /// No locks available.
    ENOLCK = 37,
    /// Not implemented; for Xen also: this caller cannot reach it.
    ENOSYS = 38,
    /// Not empty.
    ENOTEMPTY = 39,
    /// No data available.
    ENODATA = 61,
    /// Timer expired.
    ETIME = 62,
    /// Not a data message.
    EBADMSG = 74,
    /// Value too large for its type.
    EOVERFLOW = 75,
    /// Illegal byte sequence.
    EILSEQ = 84,
    /// The call shall be started again (Xen's preemption).
    ERESTART = 85,
    /// Not a socket.
    ENOTSOCK = 88,
    /// Message too large.
    EMSGSIZE = 90,
    /// Operation not supported.
    EOPNOTSUPP = 95,
    /// Address in use.
    EADDRINUSE = 98,
    /// Address not available.
    EADDRNOTAVAIL = 99,
    /// No buffer space.
    ENOBUFS = 105,
    /// Already connected.
    EISCONN = 106,
    /// Not connected.
    ENOTCONN = 107,
    /// Timed out.
    ETIMEDOUT = 110,
    /// Connection refused.
    ECONNREFUSED = 111,
}

impl Errno {
    /// The code a C function returns for this error: `-1` to `-111`.
    pub const fn to_c(self) -> i32 {
        -(self as i32)
    }
}

/// `0` for success and the negative number for a failure, as Xen's C returns.
pub const fn to_c(result: Result<(), Errno>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(errno) => errno.to_c(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_way_to_c_and_back() {
        for &errno in Errno::ALL {
            assert_eq!(Errno::check(errno.to_c()), Err(errno));
        }
    }

    #[test]
    fn codes_that_are_no_error_are_success() {
        for rc in [0, 1, i32::MAX] {
            assert_eq!(Errno::check(rc), Ok(()));
        }
    }

    #[test]
    fn unknown_codes_become_eio_and_are_not_dropped() {
        for rc in [-15, -112, -4096, i32::MIN] {
            assert_eq!(Errno::check(rc), Err(Errno::EIO));
        }
    }
}
