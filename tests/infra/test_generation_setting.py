"""A sentence that has `generation` raised names the setting of Keyrung's own program, too."""

import pytest

from keyrung_infra.generation_setting import with_setting

_SETTING = "(Keyrung's own program takes it from `pulumi config set keyGeneration {})"


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("raise `generation` to 12", f"raise `generation` to 12 {_SETTING.format('12`')}"),
        ("raise `generation`: it is over", f"raise `generation` {_SETTING.format('N`')}: it is over"),
        ("generation 2 is over", "generation 2 is over"),
    ],
)
def test_the_setting_stands_behind_the_input_with_the_number_where_there_is_one(sentence: str, told: str) -> None:
    assert with_setting(sentence) == told
