"""Why a change is made, as clients say it. It goes into the audit."""

from typing import Annotated

from fastapi import Body
from pydantic import BaseModel, ConfigDict, Field

from ..web.fields import Text


class Reason(BaseModel):
    """Why something is done, where somebody says so."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "wrong customer"}]})

    reason: Text | None = Field(None, examples=["wrong customer"])


class Because(BaseModel):
    """Why something is done; it has to be said."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "deploy at noon"}]})

    reason: Text


MayReason = Annotated[Reason, Body(default_factory=Reason)]
"""A body that can be left out."""

MustReason = Annotated[Because, Body()]
