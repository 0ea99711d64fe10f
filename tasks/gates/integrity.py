"""The rules on an artifact's weights, which bind every target of every recipe."""

from tasks.gates.verdict import Rule

INTEGRITY_RULES = (
    Rule(
        metric="tensors_covered",
        minimum=1,
        reason="a tensor that is missing, or that comes from nowhere, makes it another model",
    ),
    Rule(
        metric="tensors_faithful",
        minimum=1,
        reason="a weight that is further from the source than its type explains was converted wrongly",
    ),
)
"""A recipe cannot remove them: they say whether the file is a faithful conversion, whatever it is good for."""
