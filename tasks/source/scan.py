"""Scan a snapshot before anything is made from it: for code, for wrong weights, for files that make a server hang."""

from collections.abc import Callable, Mapping
from typing import Any

from tasks.checkpoint.snapshot import Snapshot
from tasks.contract import TaskContext
from tasks.source.checks.architecture import check_architecture
from tasks.source.checks.chat_template import check_chat_template
from tasks.source.checks.code import check_code
from tasks.source.checks.needed_code import check_needed_code
from tasks.source.checks.paths import check_paths
from tasks.source.checks.pickles import check_pickles
from tasks.source.checks.shapes import check_shapes
from tasks.source.checks.special_tokens import check_special_tokens
from tasks.source.checks.tokenizer import check_tokenizer
from tasks.source.checks.values import check_values
from tasks.source.checks.weights import check_weights
from tasks.source.parameters import ScanParameters
from tasks.source.scan_record import Check, ScanRecord

Checker = Callable[[Snapshot, ScanParameters], tuple[str, bool]]

CHECKS: Mapping[str, Checker] = {
    "paths": check_paths,
    "needed code": check_needed_code,
    "custom code": check_code,
    "pickles": check_pickles,
    "weight headers": check_weights,
    "configuration against weights": check_shapes,
    "special tokens": check_special_tokens,
    "tokenizer": check_tokenizer,
    "chat template": check_chat_template,
    "architecture": check_architecture,
    "weight values": check_values,
}
"""Each returns what it checked, and whether there was anything to check. The one that reads all bytes runs last."""


def scan(parameters: ScanParameters, context: TaskContext) -> Mapping[str, Any]:
    """Run every check and write scan.json; raises Refused or Corrupt with the file and its wrong field or tensor."""
    snapshot = Snapshot(context.materialize("snapshot"))
    checks = []
    for place, (name, check) in enumerate(CHECKS.items()):
        detail, applicable = check(snapshot, parameters)
        checks.append(Check(name=name, outcome="passed" if applicable else "not applicable", detail=detail))
        context.progress(f"{name}: {detail}", (place + 1) / len(CHECKS))
    record = ScanRecord(repository=parameters.repository, commit=parameters.commit, checks=tuple(checks))
    (context.output / "scan.json").write_text(record.to_json(), encoding="utf-8")
    return {"checks": {check.name: check.outcome for check in checks}}
