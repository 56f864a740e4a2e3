"""A QR code for a terminal, two modules to a character."""

import io

import segno

# White on black whatever the terminal's own colours are: colours 231 and 16 of the 256-colour palette, which themes
# leave alone. The characters draw the light modules, so a camera sees dark on light, with the quiet zone around it.
_COLOURS, _RESET = "\x1b[38;5;231;48;5;16m", "\x1b[0m"


def terminal_qr(text: str) -> str:
    """Return ``text`` as a QR code (ISO/IEC 18004) in half-block characters."""
    drawn = io.StringIO()
    segno.make_qr(text).terminal(out=drawn, compact=True)
    return "\n".join(f"{_COLOURS}{line}{_RESET}" for line in drawn.getvalue().splitlines())
