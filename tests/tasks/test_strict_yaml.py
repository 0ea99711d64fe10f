"""YAML that could be read in two ways is refused, and what is written reads back as it was."""

from pathlib import Path

import pytest
import yaml

from tasks.strict_yaml import LARGEST_BYTES, list_item, read_yaml


def read(folder: Path, text: str) -> object:
    (folder / "file.yaml").write_text(text, encoding="utf-8")
    return read_yaml(folder / "file.yaml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\na: 2\n", "'a' appears twice"),
        ("b:\n  a: 1\n  a: 2\n", "'a' appears twice"),
        ("1: x\n", "1 is not the name of a field"),
        ("a: !!bool x\n", "does not fit its tag"),
        ("# " + "x" * LARGEST_BYTES, "is larger than 100000 bytes"),
    ],
)
def test_it_is_refused(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(yaml.YAMLError, match=says):
        read(tmp_path, text)


def test_a_date_stays_text_and_other_values_have_their_type(tmp_path: Path) -> None:
    assert read(tmp_path, "a: 2026-11-29\nb: [1, 1.5, true, x]\n") == {"a": "2026-11-29", "b": [1, 1.5, True, "x"]}


@pytest.mark.parametrize(
    ("text", "line"),
    [("acme/model", "- acme/model"), ("yes", '- "yes"'), ("a: b", '- "a: b"'), ("1.0", '- "1.0"'), ("ä", "- ä")],
)
def test_a_line_of_a_list_is_quoted_only_where_yaml_would_read_it_otherwise(
    text: str, line: str, tmp_path: Path
) -> None:
    assert list_item(text) == line
    assert read(tmp_path, line) == [text]
