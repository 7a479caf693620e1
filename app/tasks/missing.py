"""What a task says where a setting is missing that only its operator can give it."""

from ..retry.failure import FailureType
from ..retry.markers import Permanent


class SettingMissing(Permanent):
    """A setting is not there. No retry mends that; its text says what does."""

    def __init__(self, name: str, example: str) -> None:
        """`example`: what to write behind the name and an equals sign."""
        super().__init__(
            f"{name} is not set: write it into .env, such as {name}={example}, and restart the workers",
            type=FailureType.CONFIG_MISSING_SETTING,
        )
