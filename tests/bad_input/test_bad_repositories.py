"""Repositories that are refused by `pin` or `fetch`: before the weights come, and with nothing of them in the store."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.contract import Spec
from tasks.errors import Corrupt, NotFound, Refused, TerminalError, Unsupported
from tasks.execution import run
from tasks.store.local import LocalStore
from tests.bad_input.planting import INDEX, SHARDS, WEIGHTS
from tests.fixtures.checkpoints import make_checkpoint
from tests.fixtures.servers import HubMirror

Files = dict[str, bytes]
Change = Callable[[Files], object]
LARGE = bytes(11 * 1024**2)


def put(name: str, data: bytes | str = b"x") -> Change:
    """One more file, or another in its place."""
    return lambda files: files.update({name: data if isinstance(data, bytes) else data.encode()})


def names(shard: str) -> Change:
    """An index that names this shard."""
    return put(INDEX, f'{{"weight_map": {{"a": "{shard}"}}}}')


def only(*kept: str) -> Change:
    """Nothing but these files."""

    def change(files: Files) -> None:
        for name in set(files) - set(kept):
            del files[name]

    return change


TEMPLATES = "additional_chat_templates"

CASES: dict[str, tuple[Change, type[TerminalError], str]] = {
    "empty": (only("LICENSE"), NotFound, "has no weights"),
    "card only": (only("README.md"), NotFound, "has no weights"),
    "no configuration": (lambda files: files.pop("config.json"), NotFound, "has no config.json"),
    "no licence": (put("README.md", ""), Refused, "names no licence"),
    "another licence": (put("README.md", "---\nlicense: gpl-3.0\n---\n"), Refused, "licence 'gpl-3.0'"),
    "card no YAML": (put("README.md", "---\n[}{: ]\n---\n"), Refused, "names no licence"),
    "configuration too large": (put("config.json", LARGE), Refused, "config.json of .* has 11534336 bytes"),
    "template too large": (put("chat_template.jinja", LARGE), Refused, "chat_template.jinja of .* has 11534336 bytes"),
    "two licences of one name": (
        lambda files: files.update({"NOTICE.txt": b"a", "notice.txt": b"b"}),
        Corrupt,
        "NOTICE.txt and notice.txt, which some disks take for one name",
    ),
    "case": (
        lambda files: files.update({f"{TEMPLATES}/a.jinja": b"a", f"{TEMPLATES}/A.jinja": b"b"}),
        Corrupt,
        "A.jinja and .*/a.jinja, which some disks take for one name",
    ),
    "accents": (
        lambda files: files.update({f"{TEMPLATES}/\u00e9.jinja": b"a", f"{TEMPLATES}/e\u0301.jinja": b"b"}),
        Corrupt,
        "which some disks take for one name",
    ),
    "unseen": (put("LICENSE\u200b", b"a"), Corrupt, "a name with invisible characters"),
    "index empty": (put(INDEX, ""), Corrupt, f"{INDEX} of .* has no 'weight_map'"),
    "index no JSON": (put(INDEX, "{"), Corrupt, f"{INDEX} of .* has no 'weight_map'"),
    "index deep": (put(INDEX, "[" * 99_999), Corrupt, f"{INDEX} of .* has no 'weight_map'"),
    "index of none": (put(INDEX, '{"weight_map": {}}'), Corrupt, f"{INDEX} of .* names no shard"),
    "shard missing": (
        lambda files: files.pop(SHARDS[1]),
        Corrupt,
        f"{INDEX} of .* names {SHARDS[1]}, which is missing",
    ),
    "shard above": (names("../x"), Corrupt, f"{INDEX} of .* names the file '../x', which could lead out"),
    "shard absolute": (names("/etc/passwd"), Corrupt, f"{INDEX} of .* names the file '/etc/passwd'"),
    "shard below": (names("deep/x.safetensors"), Corrupt, f"{INDEX} of .* names deep/x.safetensors, which is not in"),
    "shard NUL": (names("a\\u0000b"), Corrupt, f"{INDEX} of .* names the file"),
    "shard newline": (names("a\\nb"), Corrupt, f"{INDEX} of .* names the file"),
    "shard long": (names("x" * 999), Corrupt, f"{INDEX} of .* too long a name"),
    "shard surrogate": (names("\\ud800"), Corrupt, f"{INDEX} of .* names the file"),
    "pickles": (
        lambda files: (
            only("README.md", "config.json", "tokenizer.json")(files),
            files.update({"pytorch_model.bin": b""}),
        ),
        Refused,
        "only pickled weights .pytorch_model.bin., and loading pickles can run code",
    ),
    "other formats": (
        lambda files: (only("README.md", "config.json")(files), files.update({"m.gguf": b""})),
        Unsupported,
        "but GGUF files, .* found: m.gguf",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_in_one_sentence(
    hub_mirror: HubMirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    change, error, message = CASES[case]
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "home"))
    folder, store = make_checkpoint(tmp_path / "checkpoint", shards=2), LocalStore(tmp_path / "store")
    (folder / WEIGHTS).unlink(missing_ok=True)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    change(files)
    repository = f"bad/{case.replace(' ', '-')}"
    commit = hub_mirror.add(repository, files)
    with pytest.raises(TerminalError, match=message) as told:
        run(Spec(task="pin", parameters={"repository": repository, "licences": ["apache-2.0"]}), store)
        run(Spec(task="fetch", parameters={"repository": repository, "commit": commit}), store)
    assert type(told.value) is error
    assert str(told.value).isprintable() and str(told.value).endswith(".")
    assert list(store.list("")) == [] and not any((tmp_path / "home" / "scratch").iterdir())
    assert not [row for row in hub_mirror.requests(repository) if row["file"].endswith((".safetensors", ".bin"))]
    partials = tmp_path / "home" / "cache" / "partial"
    left = sum(path.stat().st_size for path in partials.iterdir()) if partials.exists() else 0
    assert left <= sum(map(len, files.values()))


@pytest.mark.parametrize("name", ["LICENSE", "special_tokens_map.json", "merges.txt"])
def test_files_of_no_bytes_are_files(
    hub_mirror: HubMirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "home"))
    folder = make_checkpoint(tmp_path / "checkpoint")
    files = {path.name: path.read_bytes() for path in folder.iterdir()} | {name: b""}
    commit = hub_mirror.add("bad/nothing", files)
    result = run(
        Spec(task="fetch", parameters={"repository": "bad/nothing", "commit": commit}), LocalStore(tmp_path / "store")
    )
    assert result.facts["files"] == len(files)
