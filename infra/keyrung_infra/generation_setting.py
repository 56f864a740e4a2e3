"""Where Keyrung's own program takes a key's `generation` from, told beside every sentence that has it changed.

The sentences are those of stores, provider and commands, which serve programs of any kind, and name the input.
"""

import re

_INPUT = re.compile(r"`generation`(?: to (?P<number>[0-9]+))?")


def with_setting(sentence: str) -> str:
    """Return the sentence with the setting of Keyrung's own program behind the input `generation`, if that is named."""

    def both(found: re.Match[str]) -> str:
        setting = f"pulumi config set keyGeneration {found['number'] or 'N'}"
        return f"{found[0]} (Keyrung's own program takes it from `{setting}`)"

    return _INPUT.sub(both, sentence)
