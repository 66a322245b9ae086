"""`python -m unshaken`: the command line."""

import os
import sys

if not sys.flags.safe_path and sys.path and sys.path[0] in ("", os.getcwd()):
    del sys.path[0]  # python -m puts the working folder first: a file timm.py there must not stand for the package

from unshaken.cli import main

sys.exit(main())
