"""settings.toml: what people say of their host."""

from pathlib import Path

from tasks.host.facts import host_facts
from tests.fuzz.target import Target


def prepare(_: Path) -> None:
    # What the host itself has is asked for once, from files that are none of the parser's.
    host_facts()


def parse(data: bytes, folder: Path) -> None:
    (folder / "settings.toml").write_bytes(data)
    host_facts()


TARGET = Target(
    parse=parse,
    prepare=prepare,
    measured={"tasks/host/facts.py": ["host_facts"], "tasks/settings.py": ["settings_table"]},
    runs=20_000,
    floor=100,
    words=("[host]", "cores", "memory_bytes", "host = 1", "[[host]]", "1_0", "0x", "inf", "1979-05-27", "'''"),
    longest=4096,
)
