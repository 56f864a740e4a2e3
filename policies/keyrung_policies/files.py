"""The policy files of a folder as bytes: what is one policy, and what is refused before anything is parsed."""

from pathlib import Path

from keyrung_policies.errors import Place, PolicyErrors
from keyrung_policies.reading import Findings
from keyrung_policies.source import MAX_FILE_BYTES


def read_texts(path: Path, findings: Findings) -> dict[str, bytes]:
    """Return a file, or all `*.yaml` files directly in a folder, by the path a reader can open.

    Raises:
        PolicyErrors: Nothing could be read at all; what is wrong with single files goes to `findings`.
    """
    if path.is_file():
        return _read_files([path], findings)
    try:
        paths = sorted(path.iterdir())
    except OSError as error:
        place = Place(file=str(path), line=1, column=1)
        findings.add(place, "folder-unreadable", f"the folder cannot be read ({error.strerror})", "check its path")
        raise PolicyErrors(tuple(findings.errors)) from error
    return _read_files(paths, findings)


def _read_files(paths: list[Path], findings: Findings) -> dict[str, bytes]:
    texts: dict[str, bytes] = {}
    for path in paths:
        place = Place(file=str(path), line=1, column=1)
        if path.suffix.lower() in (".yml", ".yaml") and path.suffix != ".yaml":
            # Passing over it could silently drop a rule that denies.
            findings.add(place, "file-suffix", f"the file ends in {path.suffix}", "rename it to end in .yaml")
        elif path.suffix == ".yaml":
            try:
                with path.open("rb") as file:
                    # One byte over the limit is enough to see that it is exceeded.
                    texts[str(path)] = file.read(MAX_FILE_BYTES + 1)
            except OSError as error:
                sentence = f"the file cannot be read ({error.strerror})"
                findings.add(place, "file-unreadable", sentence, "check its kind and permissions")
    return texts
