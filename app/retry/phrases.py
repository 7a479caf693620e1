"""Phrases found in running words, in one pass and without a regular expression: nothing here can be made slow."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .failure import FailureType

_WORD = re.compile(r"[a-z0-9_]+")
# A quoted part is somebody's data, not the library's words.
_QUOTED = re.compile(r"(?<!\w)(?:'[^'\n]*+'|\"[^\"\n]*+\"|`[^`\n]*+`)(?!\w)")
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_SCAN_LIMIT = 1000
_MANY_WORDS = 200
_ANY, _ALONE, _TWO = "*", "", 2


class Phrase(NamedTuple):
    """What a phrase stands for; the lower rank wins over the higher."""

    rank: int
    words: tuple[str, ...]
    type: FailureType
    reason: str | None

    @property
    def text(self) -> str:
        """The phrase as it is read."""
        return " ".join(self.words)


class Phrasebook:
    """An ordered table of phrases, the most telling first. ``*`` stands for one word."""

    def __init__(self, table: Iterable[tuple[FailureType, str | None, str]]) -> None:
        """`table`: rows of (type, reason, phrases separated by commas or line ends)."""
        # By the first word, then by the second: a text meets few phrases that begin with two of its words.
        self._starts: dict[str, dict[str, list[Phrase]]] = {}
        rank = 0
        for kind, reason, phrases in table:
            for phrase in re.split(r"[,\n]", phrases):
                words = tuple(phrase.split())
                if words:
                    rank += 1
                    second = words[1] if len(words) > 1 else _ALONE
                    self._starts.setdefault(words[0], {}).setdefault(second, []).append(
                        Phrase(rank, words, kind, reason)
                    )

    def find(self, words: Sequence[str]) -> Phrase | None:
        """The best-ranked phrase in `words`, wherever it stands."""
        best: Phrase | None = None
        for position, word in enumerate(words):
            starts = self._starts.get(word)
            if starts is not None:
                best = _best_of(starts, words, position, best)
        return best


def _best_of(
    starts: dict[str, list[Phrase]], words: Sequence[str], position: int, best: Phrase | None
) -> Phrase | None:
    following = words[position + 1] if position + 1 < len(words) else _ALONE
    for second in (following, _ANY, _ALONE):
        for phrase in starts.get(second, ()):
            if best is not None and phrase.rank >= best.rank:
                break
            if _goes_on(phrase.words, words, position):
                best = phrase
    return best


def _goes_on(phrase: Sequence[str], words: Sequence[str], position: int) -> bool:
    """Whether the words after the second one stand there too."""
    if position + len(phrase) > len(words):
        return False
    return len(phrase) <= _TWO or all(mine in (_ANY, words[position + i]) for i, mine in enumerate(phrase))


def words_of_text(text: str) -> list[str]:
    """Lower-case words of a message's beginning, without quoted parts."""
    return _WORD.findall(without_quoted(text[:_SCAN_LIMIT]).lower())[:_MANY_WORDS]


def without_quoted(text: str) -> str:
    """`text` with each quoted part replaced by a blank."""
    return _QUOTED.sub(" ", text) if "'" in text or '"' in text or "`" in text else text


def words_of_name(name: str) -> list[str]:
    """``RateLimitExceeded`` and ``rate_limit_exceeded`` as words; HTTPError as http, error; OAuth as o, auth."""
    return [word.lower() for word in _CAMEL.findall(name[:200])]
