"""A task's own process, which stops at a point that a test names: `python -m tests.tasks.writer SPEC [POINT ACTION]`.

SPEC is a spec's JSON. POINT: `part` (the large file is half sent), `files` (all files are sent), `whole` (the attempt
has its own manifest), `published` (the key's manifest is there). ACTION: `kill`, or `wait` for a line on standard
input. It prints POINT when it waits there, and at the end the task's result.
"""

import dataclasses
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from tasks import definitions, execution
from tasks.contract import Spec
from tasks.store.hashing import HashingWriter
from tasks.store.local import LocalStore
from tasks.store.open import open_store
from tests.tasks.probe import KEYED

PART = 5 * 2**20
"""S3's smallest part."""


def main() -> None:
    """Run the task."""
    for definition in (KEYED, dataclasses.replace(KEYED, name="unkeyed", keyed=False)):
        definitions.FIXED[definition.name] = definition
    store = open_store()
    if not isinstance(store, LocalStore):
        from tasks.store.s3 import TRANSFER

        TRANSFER.multipart_threshold = TRANSFER.multipart_chunksize = PART
        TRANSFER.max_request_concurrency = 1
    if len(sys.argv) > 2:
        point, action = sys.argv[2:]
        _plant(point, _die if action == "kill" else lambda: _wait(point), store)
    print(execution.run(Spec.from_json(sys.argv[1]), store).to_json(), flush=True)


def _plant(point: str, stop: Callable[[], None], store: Any) -> None:
    if point == "part" and isinstance(store, LocalStore):
        _around(HashingWriter, "write", lambda writer, *_: stop() if writer.size == PART else None)
    elif point == "part":
        sent: list[object] = []

        def second(**_: object) -> None:
            sent.append(None)
            if len(sent) == 2:
                stop()

        store._client.meta.events.register("after-call.s3.UploadPart", second)
    elif point == "published":
        _around(execution, "write_manifest", lambda *_: None, then=stop)
    else:
        _around(execution, {"files": "complete_attempt", "whole": "write_manifest"}[point], lambda *_: stop())


def _around(place: Any, name: str, before: Callable[..., None], then: Callable[[], None] = lambda: None) -> None:
    whole = getattr(place, name)

    def stopped(*arguments: Any) -> Any:
        before(*arguments)
        result = whole(*arguments)
        then()
        return result

    setattr(place, name, stopped)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _wait(point: str) -> None:
    print(point, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
