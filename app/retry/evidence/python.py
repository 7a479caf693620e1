"""What the interpreter itself tells: cancellation, the frame that raised, settings that did not load."""

from types import FrameType

from ..failure import FailureType
from ..frames import frames_of, module_of
from ..look import Look, as_str
from ..verdict import Strength, Verdict

_T = FailureType
_HTTP_CLIENTS = frozenset({"requests", "httpx", "httpx2", "aiohttp", "urllib3", "botocore", "googleapiclient"})
_DECODERS = ("json.JSONDecodeError", "simplejson.JSONDecodeError", "orjson.JSONDecodeError")
_PYDANTIC = ("pydantic_core.ValidationError", "pydantic.ValidationError")

_CANCELLED = Verdict(
    type=_T.UNKNOWN, rule="python.cancelled", detail="the run was cancelled", retryable=True, reason="cancelled",
    confidence=0.9, strength=Strength.CLASS,
)  # fmt: skip
_EXIT = Verdict(
    type=_T.UNKNOWN, rule="python.exit", detail="the process was asked to end", retryable=True, reason="exit",
    confidence=0.9, strength=Strength.CLASS,
)  # fmt: skip
_STOPS = {
    "asyncio.CancelledError": _CANCELLED, "concurrent.CancelledError": _CANCELLED, "trio.Cancelled": _CANCELLED,
    "GeneratorExit": _CANCELLED, "KeyboardInterrupt": _EXIT, "SystemExit": _EXIT,
}  # fmt: skip
_ENVIRONMENT = Verdict(
    type=_T.CONFIG_MISSING_SETTING, rule="python.environ", detail="an environment variable is not set", confidence=0.95
)
_SETTINGS = Verdict(
    type=_T.CONFIG_MISSING_SETTING, rule="python.settings", detail="settings did not load", confidence=0.95
)
_NOT_JSON = Verdict(
    type=_T.EXTERNAL_API_DOWN, rule="python.not_json", detail="the server's answer is not JSON", confidence=0.85
)
_ARGUMENTS = Verdict(
    type=_T.PERMANENT_VALIDATION, rule="python.arguments", detail="the arguments do not fit the task",
    reason="arguments",
    confidence=0.9,
)  # fmt: skip
_MISSING_KEY = Verdict(
    type=_T.PERMANENT_VALIDATION, rule="python.missing_key", detail="a key is missing in an argument", confidence=0.7,
    strength=Strength.GENERIC,
)  # fmt: skip


def read(look: Look) -> Verdict | None:
    """Only for classes whose meaning the surroundings decide."""
    for key in look.facts.keys:
        if key in _STOPS:
            # Below another error it is that library's own way of ending a wait.
            return _STOPS[key] if look.depth == 0 else _STOPS[key]._replace(strength=Strength.GENERIC)
    if "KeyError" in look.facts.keys:
        return _key_error(look)
    if "TypeError" in look.facts.keys:
        return _arguments(look)
    if not set(_PYDANTIC).isdisjoint(look.facts.keys):
        return _SETTINGS if _is_settings(look) else None
    if look.facts.keys[0] in _DECODERS:
        return _NOT_JSON if _from_http(look) else None
    return None


def _arguments(look: Look) -> Verdict | None:
    """The call of the task itself failed: the job's arguments do not fit its signature."""
    task_name = look.around.task_name
    if task_name is None:
        return None
    head, found, _ = look.text.partition("() ")
    same = found and head.rpartition(".")[2] == task_name.rpartition(".")[2]
    return _ARGUMENTS if same and "argument" in look.text else None


def _frames(look: Look) -> list[FrameType]:
    return look.attempt(frames_of, look.exc.__traceback__) or []


def _key_error(look: Look) -> Verdict | None:
    frames = _frames(look)
    if not frames:
        return None
    last = frames[-1]
    if last.f_code.co_name == "__getitem__" and module_of(last) == "os":
        return _ENVIRONMENT
    return _MISSING_KEY if look.facts.keys[0] == "KeyError" and look.attempt(_lacks_key, last, look.exc.args) else None


def _lacks_key(frame: FrameType, args: tuple[object, ...]) -> bool:
    """Whether an argument of the raising function is a dict without the key that was asked for."""
    key = args[0] if len(args) == 1 else None
    if type(key) not in (str, int):
        return False
    code = frame.f_code
    values = frame.f_locals
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return any(type(values.get(name)) is dict and key not in values[name] for name in names)


def _is_settings(look: Look) -> bool:
    """Pydantic raises one class for bad data and for missing settings: the frames and the model's name differ."""
    if any(module_of(frame).startswith("pydantic_settings") for frame in _frames(look)):
        return True
    title = as_str(look.read("title")) or look.string("__name__", of=look.read("model")) or ""
    return title.endswith(("Settings", "Config", "Configuration"))


def _from_http(look: Look) -> bool:
    return any(module_of(frame).partition(".")[0] in _HTTP_CLIENTS for frame in _frames(look))
