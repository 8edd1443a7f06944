"""`python -m azoth_dlq`: the command line."""

import sys

from azoth_dlq.cli import main

if __name__ == "__main__":
    sys.exit(main())
