"""`cdk synth -c stage=local|staging|prod`."""

import sys

from aws_cdk import App, CliCredentialsStackSynthesizer

from infra import assets
from infra.backend import Backend
from infra.settings import ROOT, load

app = App()
try:
    settings = load(app.node.try_get_context("stage") or "local")
except ValueError as error:
    sys.exit(f"chally: {error}")
local = settings.stage == "local"
platform = assets.HOST if local else assets.LAMBDA
Backend(
    app,
    settings=settings,
    functions=ROOT / "functions",
    layers={"core": ROOT / "layers/core"} | {name: assets.layer_path(name, platform) for name in assets.GROUPS},
    # the default synthesizer assumes roles, and MiniStack refuses to publish assets as those
    synthesizer=CliCredentialsStackSynthesizer() if local else None,
)
app.synth()
