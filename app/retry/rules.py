"""The user's own rules. They win over everything the engine knows. Classifying takes its rules as an argument."""

import re
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import NamedTuple, overload

from .failure import FailureType
from .look import Look
from .verdict import Verdict

_SCAN_LIMIT = 2000

Judge = Callable[[BaseException], FailureType | None]


class Rule(NamedTuple):
    """All conditions that are given must hold; the first rule that answers wins.

    Attributes:
        name: Shown as evidence ``user.<name>``.
        type: The answer, unless `judge` gives it.
        exception: Qualified or bare class name; subclasses match too.
        contains: Text of the message, compared without case.
        pattern: Regular expression searched in the first 2,000 characters of the message. Its speed is its author's.
        judge: Function of the exception; None means the rule has no opinion. If it raises, it has none.
        retryable: Overrides the type's default.
    """

    name: str
    type: FailureType | None = None
    exception: str | None = None
    contains: str | None = None
    pattern: re.Pattern[str] | None = None
    judge: Judge | None = None
    retryable: bool | None = None

    def verdict(self, look: Look) -> Verdict | None:
        """This rule's answer to one link of the chain, or None."""
        if not self._applies(look):
            return None
        kind = self.type
        if self.judge is not None:
            answer = look.attempt(self.judge, look.exc)
            kind = answer if isinstance(answer, FailureType) else None
        if kind is None:
            return None
        return Verdict(
            type=kind, rule=f"user.{self.name}", detail=f"rule {self.name}", confidence=1.0, retryable=self.retryable
        )

    def _applies(self, look: Look) -> bool:
        if self.exception is not None and not _is_named(look, self.exception):
            return False
        if self.contains is not None and self.contains.casefold() not in look.text.casefold():
            return False
        return self.pattern is None or self.pattern.search(look.text[:_SCAN_LIMIT]) is not None


def _is_named(look: Look, name: str) -> bool:
    if name == look.facts.name:
        return True
    for cls in type(look.exc).__mro__:
        if name in (cls.__name__, f"{cls.__module__}.{cls.__qualname__}"):
            return True
    return look.facts.is_a(name)


class RuleBook:
    """An explicit registry: make one, register on it, and hand `rules` to `classify.Context`."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    @property
    def rules(self) -> tuple[Rule, ...]:
        """In order of registration."""
        return tuple(self._rules)

    def add(self, *rules: Rule) -> None:
        """Register ready-made rules."""
        self._rules.extend(rules)

    @overload
    def failure_rule(self, exception: Judge, /) -> Judge: ...

    @overload
    def failure_rule(
        self, exception: type[BaseException] | str | None = None, *, retryable: bool | None = None
    ) -> Callable[[Judge], Judge]: ...

    def failure_rule(
        self, exception: Judge | type[BaseException] | str | None = None, *, retryable: bool | None = None
    ) -> Judge | Callable[[Judge], Judge]:
        """Decorator: the function receives the exception and answers with a type, or None for no opinion.

        `exception` limits it to a class (or a class name, which needs no import) and its subclasses. Without it, and
        without parentheses too, the function is asked about every failure.

        Raises:
            TypeError: `exception` is neither an exception class nor a name.
        """
        bare = exception if isinstance(exception, FunctionType) else None
        name = None if bare else _name(exception)

        def register(judge: Judge) -> Judge:
            self.add(Rule(getattr(judge, "__name__", "rule"), exception=name, judge=judge, retryable=retryable))
            return judge

        return register(bare) if bare else register


def _name(exception: object) -> str | None:
    if exception is None or isinstance(exception, str):
        return exception
    if not isinstance(exception, type) or not issubclass(exception, BaseException):
        raise TypeError(f"a failure rule is for an exception class or the name of one, not for {exception!r}")
    builtin = exception.__module__ == "builtins"
    return exception.__qualname__ if builtin else f"{exception.__module__}.{exception.__qualname__}"


def first_verdict(rules: Iterable[Rule], look: Look) -> Verdict | None:
    """The first rule with an answer."""
    for rule in rules:
        verdict = rule.verdict(look)
        if verdict is not None:
            return verdict
    return None


book = RuleBook()
"""The rules of this process's code, which the queue and `retrying` heed."""
