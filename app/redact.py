"""Masks what must not be seen: values whose key says that they are secret, and texts that look like a secret.

Every pattern takes linear time, whatever the text. Never changes what it is given; what is masked stays as it is.
"""

import json
import re
from functools import lru_cache
from itertools import pairwise
from typing import Any

MASK = "[redacted]"
"""Stands in place of a secret value, whatever that was."""

DEEPEST = 64
"""Levels that are looked through; what lies deeper is masked as a whole."""

LONGEST_KNOWN_NAME = 64
"""Names up to this length are remembered; longer ones come from data, not from code."""

SHORTEST_SECRET = 12
"""``basic`` and a value. A shorter text can only hold a secret beside its name: ``pin=1``, ``--pin 1``."""

LONGEST_HARMLESS = 400
"""Texts up to this length are remembered where nothing was found in them."""

MOST_HARMLESS = 2_000
"""Texts that are remembered; then it begins anew."""

_harmless: set[str] = set()

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET_WORDS = frozenset({
    "auth", "authorization", "cookie", "credential", "credentials", "cvc", "cvv", "dsn", "jwt", "otp", "passcode",
    "passphrase", "passwd", "password", "passwords", "passwort", "pin", "pwd", "secret", "secrets", "signature", "ssn",
    "token",
})  # fmt: skip
_SECRET_PAIRS = frozenset({
    ("access", "key"), ("account", "key"), ("api", "key"), ("card", "number"), ("db", "pass"), ("encryption", "key"),
    ("mail", "pass"), ("master", "key"), ("private", "key"), ("secret", "key"), ("session", "id"), ("session", "key"),
    ("signing", "key"), ("smtp", "pass"), ("ssh", "key"), ("user", "pass"),
})  # fmt: skip
_SECRET_GLUED = tuple({"password", "passwd", "secret", *("".join(pair) for pair in _SECRET_PAIRS)})

# Words that sentences too put before a colon: "unexpected token: comma" is no secret.
_PROSE = frozenset({"auth", "cookie", "credential", "credentials", "pin", "signature", "token"})


def is_secret(key: str) -> bool:
    """Whether a key's name says that its value is secret: ``dbPassword``, ``X-API-Key``, ``apikey``.

    It goes by words, so that ``max_tokens``, ``author`` and ``primary_key`` stay readable.
    """
    return _known_name(key) if len(key) <= LONGEST_KNOWN_NAME else _is_secret_name(key)


def _is_secret_name(key: str) -> bool:
    words = [word.lower() for word in _WORD.findall(key)]
    return (
        not _SECRET_WORDS.isdisjoint(words)
        or not _SECRET_PAIRS.isdisjoint(pairwise(words))
        or "".join(words).endswith(_SECRET_GLUED)
    )


_known_name = lru_cache(maxsize=4096)(_is_secret_name)
"""The names of fields are few and met again and again."""


def redact(value: Any, *, depth: int = DEEPEST) -> Any:
    """Return JSON-like `value` with the values of secret keys, and secrets in its texts, replaced by `MASK`."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        if depth == 0:
            return MASK
        return {key: MASK if is_secret(str(key)) else redact(item, depth=depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return MASK if depth == 0 else [redact(item, depth=depth - 1) for item in value]
    return value


def redact_text(text: str) -> str:
    """Return `text` without the secrets in it: keys of known forms, passwords in addresses, ``password=…``."""
    if type(text) is not str or len(text) > LONGEST_HARMLESS:
        return _masked(text)
    # The words about one failure are stored, logged and met again with the next one. No secret is kept: what was masked
    # is not remembered.
    if text in _harmless:
        return text
    masked = _masked(text)
    return known_harmless(text) if masked == text else masked


def known_harmless(text: str) -> str:
    """Return `text`, in which no secret is, so that nobody looks for one again: it is made of what was masked."""
    if len(text) <= LONGEST_HARMLESS:
        if len(_harmless) >= MOST_HARMLESS:
            _harmless.clear()
        _harmless.add(text)
    return text


def _masked(text: str) -> str:
    named = ":" in text or "=" in text or "--" in text  # Without these, no name stands beside its value.
    if len(text) < SHORTEST_SECRET and not named:
        return text
    lowered = text.lower()
    if "private key-----" in lowered:
        text = _PEM.sub(MASK, text)
    if named and "://" in text:
        text = _ADDRESS.sub(rf"\1{MASK}@", text)
    if any(map(lowered.__contains__, _HEADER_HINTS)):
        text = _SCHEME.sub(rf"\1{MASK}", _HEADER.sub(rf"\1{MASK}", text))
    if named and any(map(lowered.__contains__, _PAIR_HINTS)):
        text = _redact_pairs(text)
    if any(map(text.__contains__, _KNOWN_HINTS)):
        text = _KNOWN.sub(MASK, text)
    return _CARD.sub(_redact_card, text)


class Masked(ValueError):  # noqa: N818  Reads as what happened.
    """A value looks masked, and is not what was shown in its place.

    Attributes:
        path: Where it is, dotted.
    """

    def __init__(self, path: str) -> None:
        super().__init__(f"{path}: is masked, and not as it was shown here; give its value, or leave it as it was")
        self.path = path


def restore(given: Any, original: Any) -> Any:
    """Return `given` with what is masked in it as it is in `original`, of which its sender was shown ``redact`` alone.

    Raises:
        Masked: Something masked is new, or has moved: nobody knows what it stands for.
    """
    return _restored(given, original, redact(original), ())


def _restored(given: Any, original: Any, shown: Any, path: tuple[str, ...]) -> Any:
    if _is_same(given, shown):
        return original
    match given:
        case dict():
            known = original if isinstance(original, dict) and isinstance(shown, dict) else {}
            return {
                key: _restored(item, known[key], shown[key], (*path, key))
                if key in known
                else _unmasked(item, (*path, key))
                for key, item in given.items()
            }
        case list():
            pairs = zip(original, shown, strict=True) if isinstance(original, list) and isinstance(shown, list) else ()
            known_items = list(pairs)
            return [
                known_items[index][0]
                if index < len(known_items) and _is_same(item, known_items[index][1])
                else _unmasked(item, (*path, str(index)))
                for index, item in enumerate(given)
            ]
        case _:
            return _unmasked(given, path)


def _is_same(one: Any, other: Any) -> bool:
    """Whether both are the same JSON; Python alone takes true, 1 and 1.0 for equal."""
    return one == other and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _unmasked(value: Any, path: tuple[str, ...]) -> Any:
    """`value`, in which nothing is masked."""
    match value:
        case str() if MASK in value:
            raise Masked(".".join(path))
        case dict():
            return {key: _unmasked(item, (*path, key)) for key, item in value.items()}
        case list():
            return [_unmasked(item, (*path, str(index))) for index, item in enumerate(value)]
        case _:
            return value


# Looked for before the patterns are: most texts have none, and finding a word is a hundred times as fast.
_HEADER_HINTS = ("authorization", "cookie", "bearer", "basic")
_PAIR_HINTS = ("pass", "pwd", "key", "token", "secret", "credential", "auth", "sign", "session", "pin", "cv", "dsn",
               "jwt", "ssn", "number", "otp")  # fmt: skip
_KNOWN_HINTS = ("AKIA", "ASIA", "eyJ", "sk-", "k_live_", "k_test_", "gh", "glpat-", "xox", "AIza", "hf_", "npm_", "SG.",
                "afresh_")  # fmt: skip

# No pattern can begin inside of what another start of it has looked at and left, or else it looks only so far ahead:
# that is what keeps them linear.
_PEM = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:[^-]|-(?!----END ))*+(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?"
)
_ADDRESS = re.compile(r"(://[^\s/?#:@]*+:)[^\s/?#]*@")
_HEADER = re.compile(
    r"""(\b(?:(?:proxy-)?authorization|(?:set-)?cookie)\\?["']?\s{0,3}[:=]\s{0,3}(?:b(?=["']))?["']?)"""
    r"""(?![\s\[{])[^\r\n"']+(?:(?<==)"[^"\r\n]*"[^\r\n"']*+)*+""",  # Parameters may be quoted: realm="x".
    re.IGNORECASE,
)
_SCHEME = re.compile(r"\b((?i:bearer|basic)\s{1,3})(?!(?i:bearer|basic)\s)(?=[a-z._~+/-]{0,64}[0-9A-Z])[\w.~+/-]{6,}=*")
_KEY = re.compile(r"""(?<![\w-])([\w-]{1,64}+)(\\?["']?\s{0,3}(?:=(?!=)|:(?![:/]))\s{0,3}(?:b(?=["']))?)""")
_OPTION = re.compile(r"""(?<![\w-])(--[A-Za-z][\w-]{0,62}+)(["']?,?[ \t]{1,3})(?![-\s])""")
_VALUE = re.compile(
    r"""(")((?:[^"\\\n]|\\.)*+)|(')((?:[^'\\\n]|\\.)*+)|(\\["'])((?:[^"'\\\n]|\\[^"'])*+)|[^\s,;&"']++"""
)
_BRACKETED = re.compile(r""""(?:[^"\\]|\\.)*+"?|'(?:[^'\\]|\\.)*+'?|([\[{])|([\]}])""", re.DOTALL)
_KNOWN = re.compile(
    r"""(?<![\w-])(?:
      (?:AKIA|ASIA)[0-9A-Z]{16}                       # Amazon
    | eyJ[\w-]{5,}+\.[\w-]{5,}+(?:\.[\w-]*+)?         # JSON web tokens
    | sk-[\w-]{16,}+                                  # OpenAI, Anthropic
    | [rsp]k_(?:live|test)_[0-9A-Za-z]{10,}+          # Stripe
    | gh[pousr]_[0-9A-Za-z]{20,}+ | github_pat_\w{20,}+ | glpat-[\w-]{16,}+
    | xox[a-z]-[0-9A-Za-z-]{10,}+                     # Slack
    | AIza[\w-]{30,}+                                 # Google
    | hf_[0-9A-Za-z]{20,}+ | npm_[0-9A-Za-z]{30,}+ | SG\.[\w-]{16,}+\.[\w-]{16,}+
    | afresh_[0-9a-z]{6,16}_[0-9A-Za-z]{20,}+         # ours
    )""",
    re.VERBOSE,
)
_CARD = re.compile(
    r"[2-6](?<![\w.-].)(?:(?<=3)[47]|(?<=4)\d|(?<=5)[1-5]|(?<=2)[2-7]|(?<=6)[05])(?:[ -]?\d){13,14}(?![\w-])"
)
_HARMLESS = frozenset({"str", "bytes", "none", "null", "true", "false"})


def _redact_pairs(text: str) -> str:
    """Mask what follows a secret's name: ``password=…``, ``"token": "…"``, ``--password …``."""
    names = [*_KEY.finditer(text)]
    if "--" in text:
        names = sorted([*names, *_OPTION.finditer(text)], key=re.Match.start)
    parts, end = [], 0
    for found in names:
        # A name that is masked, since it stood where a value could, may have a value of its own behind it.
        if found.end() < end or not _ends_secret(found[1]):
            continue
        value = _VALUE.match(text, found.end())
        if value is None:
            continue
        quote, content = value.group(value.lastindex - 1, value.lastindex) if value.lastindex else ("", value[0])
        if not quote and not content.startswith(MASK):
            content = _bracketed(text, value.start()) if content[0] in "[{" else content.rstrip(")]}>")
        if not content or content.startswith(MASK) or (not quote and _is_prose(found[1], found[2], content)):
            continue
        start = value.start() + len(quote)
        parts += [text[end:start], MASK]
        end = start + len(content)
    return "".join([*parts, text[end:]])


def _bracketed(text: str, start: int) -> str:
    """A list or an object as a whole: some of what is in it is the secret. Of one that was cut off, all there is."""
    depth = 0
    for part in _BRACKETED.finditer(text, start):
        depth += (part[1] is not None) - (part[2] is not None)
        if depth == 0:
            return text[start : part.end()]
    return text[start:]


def _ends_secret(key: str) -> bool:
    """As `is_secret`, of the last words alone: InvalidTokenError and token_type are names of something else."""
    words = [word.lower() for word in _WORD.findall(key) if not word.isdigit()][-2:]
    return bool(words) and (
        words[-1] in _SECRET_WORDS or tuple(words) in _SECRET_PAIRS or "".join(words).endswith(_SECRET_GLUED)
    )


def _is_prose(key: str, separator: str, content: str) -> bool:
    """Whether ``token: comma`` is a sentence and no secret."""
    if content.lower() in _HARMLESS:
        return True
    if not content.isalpha() or "=" in separator:
        return False
    return ":" not in separator or _WORD.findall(key)[-1].lower() in _PROSE


def _redact_card(found: re.Match[str]) -> str:
    """Mask a number whose check digit is that of a payment card (Luhn, ISO/IEC 7812-1)."""
    digits = [int(digit) for digit in found[0] if digit.isdigit()]
    total = sum(digits[-1::-2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return MASK if total % 10 == 0 else found[0]
