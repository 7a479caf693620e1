"""One question to a language model, by the chat-completions protocol that OpenAI's servers and many others speak."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx
import orjson

from ..config import LlmSettings
from ..retry.failure import FailureType
from ..retry.markers import Permanent, RetryLater
from .missing import SettingMissing
from .no_answer import naming
from .trust import trusted

SECONDS = 180.0
"""Longest wait for one answer; a model that thinks may take minutes."""

CONNECT_SECONDS = 10.0

_SAID = 300
"""Characters of a refusal that are kept."""


class AnswerUnreadable(RetryLater):
    """The server says that all is well, and what it sent is no answer; the next one may be."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the language model's server answered {what}", type=FailureType.EXTERNAL_API_DOWN)


class AnswerCut(Permanent):
    """The model stopped before its answer was whole, and would again."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a model answered.

    Attributes:
        tokens: What was paid for, as the server counts; 0 where it does not.
    """

    text: str
    tokens: int


async def ask(settings: LlmSettings, model: str, instruction: str, text: str) -> Said:
    """Ask a model for one text.

    Raises:
        SettingMissing: Nobody has said where it is.
        httpx.HTTPStatusError: The server refuses; its text ends with the server's own code and words.
        httpx.TransportError, TimeoutError: No answer came.
        AnswerUnreadable: What came is not one.
        AnswerCut: It is not all of the text.
    """
    if settings.base_url is None:
        raise SettingMissing("LLM_BASE_URL", "https://api.openai.com/v1")
    messages = [{"role": "system", "content": instruction}, {"role": "user", "content": text}]
    url = f"{settings.base_url.rstrip('/')}/chat/completions"
    with naming(f"POST {url}", seconds=SECONDS):
        async with (
            asyncio.timeout(SECONDS),  # httpx's times are for each step of an exchange.
            httpx.AsyncClient(
                verify=trusted(), timeout=httpx.Timeout(SECONDS, connect=CONNECT_SECONDS), trust_env=False
            ) as client,
        ):
            response = await client.post(
                url,
                headers={"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else None,
                json={"model": model, "messages": messages, "stream": False},
            )
    if not response.is_success:
        raise _refusal(response)
    return read_answer(response.content)


def read_answer(body: bytes) -> Said:
    """Read the text in an answer.

    Raises:
        AnswerUnreadable: There is none.
        AnswerCut: It is not whole.
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:  # Not the cause of what follows: it would say that our own input was wrong.
        raise AnswerUnreadable("with something that is not JSON") from None
    match content:
        case {"choices": [{"finish_reason": "length" | "content_filter" as why}, *_]}:
            raise AnswerCut(f"the model stopped before the end of its answer: finish_reason is {why}")
        case {"choices": [{"message": {"refusal": str(why)}}, *_]} if why:
            raise AnswerCut(f"the model refuses: {why[:_SAID]}")
        case {"choices": [{"message": {"content": str(text)}}, *_]} if text.strip():
            return Said(text.strip(), _tokens(content))
        case {"choices": []}:
            raise AnswerUnreadable("with no choices")
        case _:
            raise AnswerUnreadable("with no text")


def _tokens(content: dict[str, Any]) -> int:
    match content:
        case {"usage": {"total_tokens": int(total)}}:
            return total
        case _:
            return 0


def _refusal(response: httpx.Response) -> httpx.HTTPStatusError:
    """The error that a status is, with the server's own code for it: a 429 may be a limit, or an empty account."""
    phrase = HTTPStatus(response.status_code).phrase if response.status_code in set(HTTPStatus) else ""
    text = f"{response.request.url} answered {response.status_code} {phrase}".rstrip()
    if said := " ".join(_words_of(response).split())[:_SAID]:
        text = f"{text}: {said}"
    return httpx.HTTPStatusError(text, request=response.request, response=response)


def _words_of(response: httpx.Response) -> str:
    try:
        content = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return response.text
    match content:
        case {"error": {"code": str(code), "message": str(message)}}:
            return f"{code}: {message}"
        case {"error": {"message": str(message)}} | {"error": str(message)} | {"message": str(message)}:
            return message
        case _:
            return response.text
