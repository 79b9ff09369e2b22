"""What a client sends."""

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """A request's body, or a part of one. Unknown fields are refused: a typo must not be ignored in silence."""

    model_config = ConfigDict(extra="forbid")
