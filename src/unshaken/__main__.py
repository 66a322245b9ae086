"""`python -m unshaken`: the command line."""

import contextlib
import os
import sys

with contextlib.suppress(OSError):  # a working folder that is gone
    if not sys.flags.safe_path and sys.path[:1] in ([""], [os.getcwd()]):
        del sys.path[0]  # python -m puts the working folder first: a timm.py there must not stand for the package

from unshaken_start import main

sys.exit(main())
