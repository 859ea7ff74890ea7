"""The command line: `python -m hermes COMMAND …`."""

import sys

from hermes.cli import main

if __name__ == "__main__":
    sys.exit(main())
