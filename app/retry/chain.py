"""The walk over causes and groups, and the choice among their verdicts. The outermost specific one wins."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from .evidence import (
    brokers,
    cloud,
    curl,
    databases,
    ftp,
    grpc,
    hints,
    http,
    names,
    own_word,
    packages,
    python,
    smtp,
    sqlstate,
    system,
    texts,
)
from .failure import Effect, FailureType
from .look import Look, exceptions_in
from .markers import OverLimit, Permanent, RetryLater
from .rules import Rule, first_verdict
from .verdict import Strength, Verdict

_T = FailureType
_DEPTH_LIMIT = 8
_LINKS_LIMIT = 32
_LEAVES_LIMIT = 50
_NODES_LIMIT = 2000
_CARRIED_LIMIT = 4

# Most particular first: a reader that comes earlier knows numbers that a later one would misread.
_READERS = (
    python.read,
    databases.read_number,
    sqlstate.read,
    smtp.read,
    ftp.read,
    curl.read,
    databases.read_class,
    brokers.read,
    cloud.read_aws,
    cloud.read_google,
    grpc.read,
    http.read,
    system.read,
)

# For exceptions without any telling attribute: their class, arguments and frames.
_MUTE_READERS = (
    python.read,
    databases.read_number,
    databases.read_class,
    brokers.read,
    ftp.read,
    curl.read,
    system.read,
)

# Where libraries keep the exception they wrap.
_CARRIERS = ("orig", "reason", "os_error", "certificate_error", "exc", "error", "cause", "original_exception",
             "original_error", "inner_exception", "inner", "original", "wrapped", "errors", "last_attempt",
             "kwargs")  # fmt: skip
# The text of a traceback from another process, hung on as a cause: it is no exception of its own.
_NOISE = frozenset({"concurrent._RemoteTraceback", "multiprocessing.RemoteTraceback", "billiard.RemoteTraceback"})

# Of a group's leaves the one that no retry mends counts, most actionable first; else the one that waits longest.
_RANK = (
    _T.PERMANENT_AUTH, _T.CONFIG_MISSING_SETTING, _T.PERMANENT_CODE_BUG, _T.PERMANENT_VALIDATION, _T.PERMANENT_CONFLICT,
    _T.PERMANENT_NOT_FOUND, _T.SYSTEM_WORKER_LOST, _T.EXTERNAL_API_DOWN, _T.SYSTEM_DISK_FULL, _T.SYSTEM_OUT_OF_MEMORY,
    _T.UNKNOWN, _T.TRANSIENT_NETWORK, _T.TRANSIENT_TIMEOUT, _T.TRANSIENT_RATE_LIMIT, _T.TRANSIENT_RESOURCE,
    _T.TRANSIENT_DATABASE,
)  # fmt: skip
_UNKNOWN = Verdict(type=_T.UNKNOWN, rule="unknown", detail="no rule matched", strength=Strength.GENERIC, confidence=0.2)

_OVER_LIMIT = Verdict(
    type=_T.TRANSIENT_TIMEOUT, rule="marker.OverLimit", detail="it was still running at its time limit",
    effect=Effect.UNKNOWN,
)  # fmt: skip


class Finding(NamedTuple):
    """A verdict and the link it was read from."""

    look: Look
    verdict: Verdict


_Groups = dict[int, Finding | None]
"""What was found in each group, by its id; None: nothing, or it is being taken apart.

A group that was handled while its parts were raised is the context of each of them: taken apart anew for each, it would
cost its parts to the power of its depth.
"""


def findings(look: Look, rules: tuple[Rule, ...], groups: _Groups | None = None) -> list[Finding]:
    """All that speaks, the decisive finding first; never empty. `groups`: those that are known already."""
    links = _links(look)
    ruled = _ruled(links, rules)
    found = [*([ruled] if ruled else []), *_judged(links, rules, {} if groups is None else groups)]
    if not found:
        return [Finding(look, _UNKNOWN)]
    decisive = ruled or _choose(found)
    return [decisive, *(finding for finding in found if finding is not decisive)]


def _ruled(links: list[Look], rules: tuple[Rule, ...]) -> Finding | None:
    """What a person has decided: a rule, or a marker that was raised."""
    for link in links:
        verdict = (first_verdict(rules, link) if rules else None) or _marked(link)
        if verdict is not None:
            return Finding(link, verdict)
    return None


def _marked(link: Look) -> Verdict | None:
    exc = link.exc
    if isinstance(exc, Permanent) and not link.implicit:
        return Verdict(
            type=exc.type, rule="marker.Permanent", detail=type(exc).__name__, confidence=1.0, retryable=False,
            reason="requested",
        )  # fmt: skip
    if isinstance(exc, RetryLater) and not link.implicit:
        wait = None if exc.after is None else hints.seconds_hint(exc.after.total_seconds(), "RetryLater")
        return Verdict(
            type=exc.type, rule="marker.RetryLater", detail=type(exc).__name__, confidence=1.0, retryable=True,
            reason="requested", hint=wait,
        )  # fmt: skip
    return _OVER_LIMIT if isinstance(exc, OverLimit) and not link.implicit else None


def _judged(links: list[Look], rules: tuple[Rule, ...], groups: _Groups) -> list[Finding]:
    found: list[Finding] = []
    for link in links:
        if issubclass(type(link.exc), BaseExceptionGroup):
            key = id(link.exc)
            if key not in groups:
                groups[key] = None
                groups[key] = _of_group(link, rules, groups)
            finding = groups[key]
        else:
            verdict = judge(link)
            finding = None if verdict is None else Finding(link, verdict)
        if finding is not None:
            found.append(finding)
    return found


def judge(look: Look) -> Verdict | None:
    """The verdict on one link alone: structure before names before words."""
    by_class = names.verdict_of_class(look.facts)
    if by_class is not None and by_class.reason == "billing":
        return by_class
    for reader in _READERS if look.tells else _MUTE_READERS:
        verdict = reader(look)
        if verdict is not None:
            return _demoted(look, verdict)
    if by_class is None or by_class.strength is Strength.GENERIC:
        return own_word.added((cloud.read_symbolic(look) if look.tells else None) or _by_words(look) or by_class, look)
    by_class = texts.refined(by_class, look)
    hint = hints.from_attributes(look) if look.tells and by_class.type is _T.TRANSIENT_RATE_LIMIT else None
    return _demoted(look, hints.applied(by_class, hint, wanted=None))


def _by_words(look: Look) -> Verdict | None:
    """The message; in a package of data only a full disk or memory is anything but the data's fault."""
    spoken = texts.verdict_of_text(look)
    of_data = packages.read(look)
    return of_data if of_data and (spoken is None or not spoken.type.startswith("SYSTEM")) else spoken


def _demoted(look: Look, verdict: Verdict) -> Verdict:
    """A bug-like builtin that was merely being handled (``except AttributeError``) is no cause."""
    if look.implicit and verdict.type is _T.PERMANENT_CODE_BUG and "." not in look.facts.name:
        return verdict._replace(strength=Strength.GENERIC)
    return verdict


def _choose(found: list[Finding]) -> Finding:
    """The outermost of the strongest band; an error in the wake of another one only if it stands alone."""
    if len(found) == 1:
        return found[0]
    first = [finding for finding in found if not finding.verdict.secondary]
    if not first or max(_band(finding) for finding in first) == Strength.GENERIC:
        first = found
    return max(first, key=_band)


def _band(finding: Finding) -> Strength:
    return min(finding.verdict.strength, Strength.CLASS)


def _of_group(look: Look, rules: tuple[Rule, ...], groups: _Groups) -> Finding | None:
    best: Finding | None = None
    cancelled: Finding | None = None
    wait = None
    for leaf in _leaves(look):
        finding = findings(leaf, rules, groups)[0]
        if finding.verdict.reason == "cancelled":  # In the wake of what failed, if anything did.
            cancelled = finding
            continue
        hint = finding.verdict.hint
        wait = hint if hint is not None and (wait is None or hint.seconds > wait.seconds) else wait
        if best is None or _rank(finding) < _rank(best):
            best = finding
    if best is None or wait is None:
        return best or cancelled
    return Finding(best.look, best.verdict._replace(hint=wait))


def _rank(finding: Finding) -> int:
    verdict = finding.verdict
    ruled = verdict.rule.startswith(("user.", "marker."))
    return -1 if ruled and verdict.retryable is False else _RANK.index(verdict.type)


def _leaves(look: Look) -> Iterator[Look]:
    """Leaves of nested groups, without recursion; bounded in leaves and nodes."""
    waiting: list[BaseException] = [look.exc]
    seen: set[int] = set()
    leaves = 0
    while waiting and leaves < _LEAVES_LIMIT and len(seen) < _NODES_LIMIT:
        exc = waiting.pop()
        if id(exc) in seen:
            continue
        seen.add(id(exc))
        if issubclass(type(exc), BaseExceptionGroup):
            inner: Any = look.attempt(BaseExceptionGroup.exceptions.__get__, exc)
            waiting.extend(reversed(inner[:_LEAVES_LIMIT] if type(inner) is tuple else ()))
        else:
            leaves += 1
            yield Look(exc, depth=look.depth + 1, implicit=look.implicit, around=look.around)


def _links(look: Look) -> list[Look]:
    """The exception and what it wraps, outermost first: carried, then cause, then context."""
    links: list[Look] = []
    seen: set[int] = set()
    _walk(look, links, seen)
    return links


def _walk(look: Look, links: list[Look], seen: set[int]) -> None:
    if id(look.exc) in seen or len(links) >= _LINKS_LIMIT or not _NOISE.isdisjoint(look.facts.keys):
        return
    seen.add(id(look.exc))
    links.append(look)
    if look.depth >= _DEPTH_LIMIT:
        return
    for exc in _carried(look):
        _walk(_below(look, exc, implicit=look.implicit), links, seen)
    cause, context = look.read("__cause__"), look.read("__context__")
    for exc in exceptions_in((cause,)):
        _walk(_below(look, exc, implicit=look.implicit), links, seen)
    if cause is None and look.read("__suppress_context__") is False:
        for exc in exceptions_in((context,)):
            _walk(_below(look, exc, implicit=True), links, seen)


def _below(look: Look, exc: BaseException, *, implicit: bool) -> Look:
    return Look(exc, depth=look.depth + 1, implicit=implicit, around=look.around)


def _carried(look: Look) -> list[BaseException]:
    args = look.exc.args
    found = exceptions_in(args[:2]) if type(args) is tuple else []
    for name in _CARRIERS if look.tells else ():
        value = look.read(name)
        if value is not None and type(value) is not str:
            found += _exceptions_of(look, name, value)
    return found


def _exceptions_of(look: Look, name: str, value: Any) -> Iterable[BaseException]:
    kind = type(value)
    if name == "kwargs":
        return exceptions_in((value.get("error"),)) if kind is dict else ()
    if name == "last_attempt":
        # A finished future's exception, of tenacity; asked with no wait.
        return exceptions_in((look.call(look.read("exception", of=value), 0),))
    if kind in (list, tuple):
        return exceptions_in(value[:_CARRIED_LIMIT])
    if kind is dict:
        return exceptions_in(list(value.values())[:_CARRIED_LIMIT])
    return exceptions_in((value,))
