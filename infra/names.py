"""Names of resources in AWS by stage, for the CDK app and for the commands that look them up."""


def stack(stage: str) -> str:
    """Return the name of a stage's stack, which is also the prefix of its other names."""
    return f"chally-{stage}"


def function(stage: str, suffix: str) -> str:
    """Return the name of a function, for example of `function("prod", "identity-roles")`."""
    return f"{stack(stage)}-{suffix}"
