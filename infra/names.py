"""What things are called in AWS, by stage: for the CDK app, and for the commands that look them up later."""


def stack(stage: str) -> str:
    """The stack of a stage, and the prefix of everything of it that has a name."""
    return f"chally-{stage}"


def function(stage: str, suffix: str) -> str:
    """A function: `function("prod", "identity-roles")`."""
    return f"{stack(stage)}-{suffix}"
