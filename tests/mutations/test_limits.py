"""The list of known limits is sound, and a run is held against it both ways."""

from dataclasses import replace
from fnmatch import fnmatchcase

from tasks.settings import REPOSITORY
from tests.mutations.limits import Limit, known_limits, outdated, unexpected
from tests.mutations.places import PLACES, SOURCE_NAMES
from tests.mutations.row import Row
from tests.mutations.table import gates, table

ROW = Row("granite", "source", "config.json: rope_theta changed", "config.json", "survived", "logits")
LIMIT = Limit("granite", "*", "config.json: rope*", "the reason why")


def test_a_survivor_is_unexpected_unless_a_limit_names_it() -> None:
    other = replace(ROW, mutant="config.json: vocab_size changed", outcome="crashed")
    blocked = replace(ROW, mutant="another", outcome="blocked", detail="kld_mean, kld_long")
    assert unexpected([ROW, other, blocked], [LIMIT]) == [other]
    assert outdated([ROW, other], [LIMIT]) == []
    assert outdated([replace(ROW, outcome="refused"), other], [LIMIT]) == [LIMIT]
    assert outdated([other], [LIMIT]) == [], "none of its mutants was judged"
    assert sorted(gates([ROW, blocked, blocked])) == ["    2 kld_long", "    2 kld_mean"]
    assert table([ROW, other, blocked])[-1] == "| all |  | 3 | 0 | 1 | 0 | 0 | 1 | 1 |"


def test_the_known_limits_are_described() -> None:
    text = (REPOSITORY / "docs" / "known-limits.md").read_text(encoding="utf-8")
    for limit in known_limits():
        assert limit.source in (*SOURCE_NAMES, "*")
        assert any(fnmatchcase(place, limit.place) for place in PLACES)
        assert limit.why in text, limit
