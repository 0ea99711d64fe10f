"""The card's front matter is what the Hub would repeat, whatever the file holds."""

from pathlib import Path

import pytest

from deploy.local.hub_card import front_matter
from deploy.local.hub_repository import find


def card(root: Path, text: str | None) -> dict[str, object]:
    folder = root / "acme" / "model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    if text is not None:
        (folder / "README.md").write_text(text)
    repository = find([root], "acme/model")
    assert repository
    revision = repository.revision("main")
    assert revision
    return front_matter(revision)


def test_dates_become_text(tmp_path: Path) -> None:
    text = "---\nlicense: mit\ndate: 2026-11-29\ntags: [a, b]\n---\n# Model\n"
    assert card(tmp_path, text) == {"license": "mit", "date": "2026-11-29", "tags": ["a", "b"]}


@pytest.mark.parametrize(
    "text",
    [None, "", "# Model\n", "---\nlicense: mit\n", "---\n- a\n---\n", "---\na: [\n---\n"],
    ids=["no card", "empty", "none", "not closed", "a list", "no YAML"],
)
def test_where_there_is_no_table_it_is_empty(text: str | None, tmp_path: Path) -> None:
    assert card(tmp_path, text) == {}
