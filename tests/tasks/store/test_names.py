"""The same names are refused in every store."""

import pytest

from tasks.errors import NotFound
from tasks.store.names import check_name, check_prefix


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "a/./b", "../a", "a/..", "nul\0", "line\nbreak"])
def test_a_name_that_leads_elsewhere_is_refused_with_the_store(name: str) -> None:
    with pytest.raises(NotFound, match="no name of an object in the store s3://bucket"):
        check_name(name, "s3://bucket")


@pytest.mark.parametrize("prefix", ["/", "../", "a//", "a/../b", "a\n"])
def test_a_prefix_that_leads_elsewhere_is_refused(prefix: str) -> None:
    with pytest.raises(NotFound, match="no prefix in the store file:///store"):
        check_prefix(prefix, "file:///store")


def test_a_prefix_may_be_empty_or_end_anywhere() -> None:
    for prefix in ("", "a", "a/", "a/b", "a/.", "a/.."):
        check_prefix(prefix, "file:///store")
    for name in ("a", "a/b", ".hidden", "a b/ä"):
        check_name(name, "file:///store")
