"""The operating system's word: errno, resolver codes, TLS verification, exit codes of child processes."""

from ..failure import Effect, FailureType
from ..look import Look
from ..verdict import Strength, Verdict
from . import errnos, texts

_T = FailureType

# <netdb.h> of Linux (negative) and of BSD and macOS (positive).
_RESOLVER: dict[int, tuple[str, FailureType, FailureType | None]] = {
    -2: ("EAI_NONAME", _T.TRANSIENT_NETWORK, _T.CONFIG_MISSING_SETTING),
    -5: ("EAI_NODATA", _T.TRANSIENT_NETWORK, _T.CONFIG_MISSING_SETTING),
    8: ("EAI_NONAME", _T.TRANSIENT_NETWORK, _T.CONFIG_MISSING_SETTING),
    7: ("EAI_NODATA", _T.TRANSIENT_NETWORK, _T.CONFIG_MISSING_SETTING),
    -3: ("EAI_AGAIN", _T.TRANSIENT_NETWORK, None), 2: ("EAI_AGAIN", _T.TRANSIENT_NETWORK, None),
    -4: ("EAI_FAIL", _T.TRANSIENT_NETWORK, _T.CONFIG_MISSING_SETTING),
    4: ("EAI_FAIL", _T.TRANSIENT_NETWORK, _T.CONFIG_MISSING_SETTING),
    -10: ("EAI_MEMORY", _T.SYSTEM_OUT_OF_MEMORY, None), 6: ("EAI_MEMORY", _T.SYSTEM_OUT_OF_MEMORY, None),
    -11: ("EAI_SYSTEM", _T.TRANSIENT_NETWORK, None), 11: ("EAI_SYSTEM", _T.TRANSIENT_NETWORK, None),
    -8: ("EAI_SERVICE", _T.CONFIG_MISSING_SETTING, None), 9: ("EAI_SERVICE", _T.CONFIG_MISSING_SETTING, None),
    -9: ("EAI_ADDRFAMILY", _T.CONFIG_MISSING_SETTING, None), -6: ("EAI_FAMILY", _T.PERMANENT_CODE_BUG, None),
    -7: ("EAI_SOCKTYPE", _T.PERMANENT_CODE_BUG, None), -1: ("EAI_BADFLAGS", _T.PERMANENT_CODE_BUG, None),
}  # fmt: skip

_CERTIFICATE_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_TLS_ROAD = ("EOF", "ZERO_RETURN", "SYSCALL", "CONNECTION_RESET", "BAD_LENGTH", "BAD_RECORD_MAC", "INTERNAL_ERROR",
             "SHUTDOWN", "DECRYPTION_FAILED", "TIMED_OUT", "TIMEOUT")  # fmt: skip


def read(look: Look) -> Verdict | None:
    """TLS, resolver and errno on an OSError; exit codes on a failed child process."""
    keys = look.facts.keys
    if keys[0].rpartition(".")[2] in _CHILD_ERRORS:
        return _child(look)
    if "OSError" not in keys:
        return _borrowed(look)
    if "ssl.SSLError" in keys or "ssl.CertificateError" in keys:
        return _tls(look)
    if "socket.gaierror" in keys or "socket.herror" in keys:
        return _resolver(look)
    number = look.integer("errno")
    return None if number is None else errnos.verdict_of_errno(number)


def _borrowed(look: Look) -> Verdict | None:
    """An errno on an error of another family, such as ZeroMQ's, with the kernel's words beside it."""
    number = look.integer("errno")
    return None if number is None or look.string("strerror") is None else errnos.verdict_of_errno(number)


def _resolver(look: Look) -> Verdict | None:
    row = _RESOLVER.get(look.integer("errno") or 0)
    if row is None:
        return None
    name, kind, repeated = row
    return Verdict(
        type=kind, rule=f"resolver.{name}", detail=name, confidence=0.95, effect=Effect.NOT_SENT,
        reason="resolution" if repeated else None, if_repeated=repeated,
    )  # fmt: skip


def _tls(look: Look) -> Verdict | None:
    if "ssl.SSLCertVerificationError" in look.facts.keys or "ssl.CertificateError" in look.facts.keys:
        if look.integer("verify_code") == _CERTIFICATE_EXPIRED or "certificate has expired" in look.text:
            return Verdict(
                type=_T.EXTERNAL_API_DOWN, rule="tls.certificate_expired", detail="their certificate has expired",
                confidence=0.95, reason="certificate_expired", effect=Effect.NOT_SENT,
            )  # fmt: skip
        return _certificate("certificate verification failed")
    said = (look.string("reason") or look.text)[:300].upper()
    if any(word in said for word in _TLS_ROAD) or not said or "TIMED OUT" in said:
        return None
    if any(
        word in said for word in ("VERSION", "ALERT", "HANDSHAKE", "CIPHER", "PROTOCOL", "CERT", "KEY", "HTTP_REQUEST")
    ):
        return _certificate(f"TLS {said[:60].replace('_', ' ').lower()}")
    return None


def _certificate(detail: str) -> Verdict:
    return Verdict(
        type=_T.CONFIG_MISSING_SETTING, rule="tls.verification", detail=detail, confidence=0.95,
        reason="certificate", effect=Effect.NOT_SENT,
    )  # fmt: skip


# Of subprocess, asyncssh, plumbum, invoke and docker.
_CHILD_ERRORS = frozenset({
    "CalledProcessError", "ProcessError", "ProcessExecutionError", "UnexpectedExit", "ContainerError",
    "ErrorReturnCode",
})  # fmt: skip
_CHILD_CODES = ("returncode", "exit_status", "exit_code", "retcode")

# 128 + signal as a shell tells it, sysexits.h, timeout(1) and the shell's own 126 and 127.
_EXIT_CODES: dict[int, tuple[FailureType, str | None]] = {
    137: (_T.SYSTEM_WORKER_LOST, "suspect_oom"), -9: (_T.SYSTEM_OUT_OF_MEMORY, "suspect_oom"),
    124: (_T.TRANSIENT_TIMEOUT, None), 126: (_T.PERMANENT_AUTH, None), 127: (_T.CONFIG_MISSING_SETTING, None),
    64: (_T.PERMANENT_CODE_BUG, None), 65: (_T.PERMANENT_VALIDATION, None), 66: (_T.PERMANENT_NOT_FOUND, None),
    67: (_T.PERMANENT_NOT_FOUND, None), 68: (_T.TRANSIENT_NETWORK, "resolution"), 69: (_T.EXTERNAL_API_DOWN, None),
    70: (_T.PERMANENT_CODE_BUG, None), 73: (_T.SYSTEM_DISK_FULL, None), 75: (_T.TRANSIENT_RESOURCE, None),
    76: (_T.PERMANENT_CODE_BUG, None), 77: (_T.PERMANENT_AUTH, None), 78: (_T.CONFIG_MISSING_SETTING, None),
}  # fmt: skip


def _of_exit_code(code: int) -> Verdict | None:
    row = _EXIT_CODES.get(code)
    if row is None:
        return None
    return Verdict(
        type=row[0],
        rule=f"exit.{code}",
        detail=f"exit code {code}",
        strength=Strength.CLASS,
        confidence=0.8,
        reason=row[1],
    )


def _child(look: Look) -> Verdict | None:
    code = next((code for name in _CHILD_CODES if (code := look.integer(name)) is not None), None)
    if code is None:
        code = look.integer("exited", of=look.read("result"))
    verdict = None if code is None else _of_exit_code(code)
    if verdict is not None:
        return verdict
    for name in ("stderr", "output"):
        said = look.string(name)
        spoken = texts.read_text(said, look) if said else None
        if spoken is not None:
            return spoken
    return Verdict(
        type=_T.UNKNOWN, rule="exit.other", detail=f"exit code {code}", strength=Strength.GENERIC, confidence=0.4
    )
