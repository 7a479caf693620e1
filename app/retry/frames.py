"""The frames of a traceback: which are the user's own, and what the innermost says. Read, never formatted."""

import sys
from functools import lru_cache
from types import FrameType, TracebackType

_FRAMES_LIMIT = 3000
_TOP = 5
_OWN = __name__.rpartition(".retry.")[0]
_ENGINE = tuple(f"{_OWN}.{room}" for room in ("queue", "retrying", "retry"))
_INSTALLED = ("/site-packages/", "/dist-packages/", "\\site-packages\\")


def frames_of(traceback: TracebackType | None) -> list[FrameType]:
    """Outermost first, at most `_FRAMES_LIMIT`."""
    frames: list[FrameType] = []
    while traceback is not None and len(frames) < _FRAMES_LIMIT:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return frames


def module_of(frame: FrameType) -> str:
    """The module's name, or an empty string."""
    name = frame.f_globals.get("__name__")
    return name if type(name) is str else ""


def user_frames(frames: list[FrameType]) -> list[str]:
    """The innermost user frames as ``module:function``, outermost first; recursion counts once, lines not at all."""
    found: dict[str, None] = {}
    previous = None
    for frame in reversed(frames):
        code = frame.f_code
        if code is previous:
            continue
        previous = code
        module = module_of(frame)
        if _is_users(module, code.co_filename):
            found.setdefault(f"{module}:{code.co_qualname}")
            if len(found) == _TOP:
                break
    return list(reversed(found))


@lru_cache(maxsize=1024)  # The places where code fails are few.
def _is_users(module: str, filename: str) -> bool:
    if module.startswith(_ENGINE) or filename.startswith("<frozen"):
        return False
    if module.partition(".")[0] in sys.stdlib_module_names and module != "__main__":
        return False
    return not any(part in filename for part in _INSTALLED)
