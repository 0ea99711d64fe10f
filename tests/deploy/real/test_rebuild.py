"""The tokenizer of the rebuilt model splits digits, as the published one does."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.runtime("torch")


def test_digits_are_split_first(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    from deploy.real.rebuild import add_digits

    plain = Tokenizer(models.BPE(vocab={"1": 0, "2": 1, "12": 2}, merges=[("1", "2")]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    file = tmp_path / "tokenizer.json"
    plain.save(str(file))
    assert plain.encode("12").tokens == ["12"]
    add_digits(file)
    assert Tokenizer.from_file(str(file)).encode("12").tokens == ["1", "2"]
