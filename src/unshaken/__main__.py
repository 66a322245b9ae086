"""`python -m unshaken`: the command line."""

import sys

from unshaken.cli import main

sys.exit(main())
