"""Request bodies."""

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """A request body, or a part of one. Unknown fields are refused, so that a typo is not silently ignored."""

    model_config = ConfigDict(extra="forbid")
