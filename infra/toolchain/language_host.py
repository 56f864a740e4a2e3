"""Starts the Python language host: `language_host.py EXEC_SCRIPT [ENGINE_ADDRESS]`, called by the Pulumi CLI."""

import sys

if __name__ == "__main__":
    from keyrung_language_host.host import main

    main(sys.argv[1:])
