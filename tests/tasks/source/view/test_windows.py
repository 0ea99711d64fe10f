"""A sliding window of no tokens is none."""

from typing import Any

import pytest

from tasks.source.view.windows import without_empty_windows


@pytest.mark.parametrize("size", [0, -1])
def test_a_window_of_no_tokens_is_none(size: int) -> None:
    content = {"sliding_window": size, "text_config": {"sliding_window": size, "hidden_size": 8}}
    none = {"sliding_window": None, "text_config": {"sliding_window": None, "hidden_size": 8}}
    notes = tuple(
        f"config.json: {place}sliding_window is {size}, which is no window; the release has none."
        for place in ("", "text_config.")
    )
    assert without_empty_windows(content) == (none, notes)


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_that_no_layer_uses_stays(size: int) -> None:
    """Gemma 3 does not run with null."""
    unused = {"sliding_window": size, "layer_types": ["full_attention", "full_attention"]}
    assert without_empty_windows(unused) == (unused, ())
    used = {**unused, "layer_types": ["full_attention", "sliding_attention"]}
    assert without_empty_windows(used)[0]["sliding_window"] is None


@pytest.mark.parametrize("content", [{}, {"sliding_window": None}, {"sliding_window": 1}, {"sliding_window": True}])
def test_other_values_stay(content: dict[str, Any]) -> None:
    assert without_empty_windows(content) == (content, ())
