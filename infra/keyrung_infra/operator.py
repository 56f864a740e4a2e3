"""Who works at the command line, as the operating system knows them."""

import os
import pwd


def operating_user() -> str:
    """Return the name of the process's real user; `$USER` has no say, since anybody can set it.

    A user without an entry in the password database, as in many containers, is `uid NUMBER`.
    """
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
