"""The QR code in the terminal, read from its characters by a reader that is not ours."""

import re

import pytest
import zxingcpp

from keyrung_infra.credentials.qr import terminal_qr

URI = (
    "otpauth://totp/Keyrung:alice%40example.org?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    "&issuer=Keyrung&algorithm=SHA1&digits=6&period=30"
)
# One line as a terminal takes it: colours 231 (white) on 16 (black), the blocks, and back.
_LINE = re.compile("\x1b\\[38;5;231;48;5;16m([ \u2580\u2584\u2588]+)\x1b\\[0m")
_WHITE, _BLACK = 255, 0
# Character -> its upper and its lower half.
_HALVES = {" ": (_BLACK, _BLACK), "\u2580": (_WHITE, _BLACK), "\u2584": (_BLACK, _WHITE), "\u2588": (_WHITE, _WHITE)}


def _picture(drawn: str, *, background: int, scale: int = 4) -> memoryview:
    """Return the grey picture of a terminal whose own background is ``background``."""
    rows: list[list[int]] = []
    for line in drawn.splitlines():
        found = _LINE.fullmatch(line)
        assert found is not None
        rows += [[_HALVES[character][half] for character in found[1]] for half in (0, 1)]
    width = (len(rows[0]) + 8) * scale
    empty = [background] * width
    pixels: list[list[int]] = [empty] * (4 * scale)
    for row in rows:
        inner = [value for value in row for _ in range(scale)]
        side = [background] * (4 * scale)
        pixels += [[*side, *inner, *side]] * scale
    pixels += [empty] * (4 * scale)
    return memoryview(bytes(value for row in pixels for value in row)).cast("B", (len(pixels), width))


@pytest.mark.parametrize("background", [0, 40, 128, 255])
@pytest.mark.parametrize("text", [URI, URI.replace("alice", "a" * 200), "https://localhost:1/enroll/" + "A" * 43])
def test_a_reader_finds_the_text_on_dark_and_on_light_backgrounds(text: str, background: int) -> None:
    picture = _picture(terminal_qr(text), background=background)

    # No inversion: apps that only read dark on light must find it too.
    found = zxingcpp.read_barcode(picture, try_invert=False)

    assert found is not None
    assert (found.format, found.text) == (zxingcpp.BarcodeFormat.QRCode, text)


def test_a_usual_terminal_is_wide_and_high_enough() -> None:
    lines = terminal_qr(URI).splitlines()
    assert len(_LINE.sub(r"\1", lines[0])) <= 80
    assert len(lines) <= 40
