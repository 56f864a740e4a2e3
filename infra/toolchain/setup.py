"""Sets up everything that Keyrung needs: `python3 infra/toolchain/setup.py [--tests]`, called by the Makefile."""

import sys
from pathlib import Path

if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - an older Python is what this is for
        sys.exit("Keyrung needs Python 3.11 or newer. Name another one, for example: make setup PYTHON=python3.12")
    from keyrung_toolchain.main import main

    sys.exit(main(Path(__file__).resolve().parents[2], sys.argv[1:]))
