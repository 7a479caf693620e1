"""errno: what the kernel says, by name."""

import errno

from ..failure import Effect, FailureType
from ..verdict import Verdict

_T = FailureType

_ERRNO_ROWS: tuple[tuple[FailureType, str | None, Effect | None, str], ...] = (
    (_T.TRANSIENT_NETWORK, None, Effect.NOT_SENT, "ECONNREFUSED EHOSTUNREACH ENETUNREACH ENETDOWN EHOSTDOWN"),
    (
        _T.TRANSIENT_NETWORK,
        None,
        Effect.UNKNOWN,
        """
        ECONNRESET EPIPE ECONNABORTED ENOTCONN ENETRESET ESHUTDOWN ENONET ECOMM EREMOTEIO EPROTO ENOLINK
        EISCONN EALREADY EINPROGRESS""",
    ),
    (_T.TRANSIENT_TIMEOUT, None, Effect.UNKNOWN, "ETIMEDOUT ETIME"),
    (
        _T.TRANSIENT_RESOURCE,
        None,
        None,
        """
        EMFILE ENFILE EAGAIN EWOULDBLOCK ENOBUFS EADDRNOTAVAIL EADDRINUSE EBUSY ESTALE ENOLCK EUSERS ETXTBSY EINTR
        EDEADLK EMLINK""",
    ),
    (_T.SYSTEM_OUT_OF_MEMORY, None, None, "ENOMEM"),
    (_T.SYSTEM_DISK_FULL, None, None, "ENOSPC EDQUOT EROFS"),
    (_T.PERMANENT_NOT_FOUND, None, None, "ENOENT ENXIO ENODEV ESRCH ECHILD"),
    (_T.PERMANENT_AUTH, None, None, "EACCES EPERM EKEYEXPIRED EKEYREVOKED EKEYREJECTED ENOKEY"),
    (_T.PERMANENT_CONFLICT, None, None, "EEXIST ENOTEMPTY"),
    (
        _T.PERMANENT_VALIDATION,
        None,
        None,
        """
        EINVAL ENAMETOOLONG EISDIR ENOTDIR EFBIG EILSEQ ELOOP E2BIG EMSGSIZE ERANGE EDOM EOVERFLOW EBADMSG EXDEV""",
    ),
    (
        _T.PERMANENT_CODE_BUG,
        None,
        None,
        """
        EBADF ENOSYS ENOTTY EOPNOTSUPP ENOTSUP ENOTSOCK EDESTADDRREQ EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESPIPE
        EFAULT
        EAFNOSUPPORT EPFNOSUPPORT ENOEXEC ESOCKTNOSUPPORT""",
    ),
    (_T.UNKNOWN, "corruption", None, "EUCLEAN"),
    (_T.UNKNOWN, "io_error", None, "EIO"),
)


def _errno_table() -> dict[int, Verdict]:
    table: dict[int, Verdict] = {}
    for kind, reason, effect, names in _ERRNO_ROWS:
        for name in names.split():
            number = getattr(errno, name, None)
            if number is None:
                continue
            table[number] = Verdict(
                type=kind, rule=f"errno.{name}", detail=name, confidence=0.95, reason=reason, effect=effect,
                retryable=False if reason == "corruption" else None,
            )  # fmt: skip
    return table


_ERRNO = _errno_table()


def verdict_of_errno(number: int) -> Verdict | None:
    """The verdict of an errno, also of one found in a text."""
    return _ERRNO.get(number)
