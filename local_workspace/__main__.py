"""``python -m local_workspace``: the command line of the workspace."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
