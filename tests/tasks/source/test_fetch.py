"""Fetch against the Hub mirror: only what is needed, every byte verified, taken up where it broke off."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from tasks.checkpoint.companions import NOTICES, copy_companions
from tasks.errors import Corrupt, DiskFull, HubUnavailable
from tasks.source import fetch as fetch_module
from tasks.source import hub_retry
from tasks.source.download import download
from tasks.source.fetch import fetch
from tasks.source.hub import HubFile, HubRepository
from tasks.source.parameters import FetchParameters
from tasks.store.local import LocalStore
from tests.fixtures.checkpoints import make_checkpoint, write_json
from tests.fixtures.context import FolderContext, make_context
from tests.fixtures.servers import HubMirror

WEIGHTS = "model.safetensors"
Fetch = Callable[[str], tuple[FolderContext, Mapping[str, Any]]]


@pytest.fixture
def run(hub_mirror: HubMirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetch:
    monkeypatch.setattr(hub_retry, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "home"))

    def run_fetch(repository: str) -> tuple[FolderContext, Mapping[str, Any]]:
        context = make_context(Path(mkdtemp(dir=tmp_path)), store=LocalStore(tmp_path / "store"))
        commit = hub_mirror.head(repository)
        return context, fetch(FetchParameters(repository=repository, commit=commit), context)

    return run_fetch


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "checkpoint")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def bytes_sent(mirror: HubMirror, repository: str, file: str | None = None) -> int:
    """What the mirror logged, once it has: it writes an answer's line after the answer's last byte."""
    sent = -1
    while sent != (sent := mirror.bytes_sent(repository, file)):
        time.sleep(0.1)
    return sent


def partials(tmp_path: Path) -> list[Path]:
    """What has begun to come and is not whole: that is the same file as in the output."""
    folder = tmp_path / "home" / "cache" / "partial"
    return [path for path in folder.iterdir() if path.suffix != ".lock" and path.stat().st_nlink == 1]


def test_only_what_is_needed_arrives_as_it_is(
    run: Fetch, hub_mirror: HubMirror, checkpoint: Path, tmp_path: Path
) -> None:
    wanted = {**contents(checkpoint), "additional_chat_templates/tools.jinja": b"{{ 1 }}", "NOTICE": b"n"}
    ballast = (
        "pytorch_model.bin",
        "tf_model.h5",
        "m.gguf",
        "onnx/model.onnx",
        "original/consolidated.pth",
        "x.py",
        "docs/about.txt",
    )
    hub_mirror.add("fetch/sound", {**wanted, **dict.fromkeys(ballast, b"ballast")})
    context, facts = run("fetch/sound")
    assert contents(context.output) == wanted
    assert facts["files"] == len(wanted)
    assert facts["bytes"] == sum(map(len, wanted.values())) == bytes_sent(hub_mirror, "fetch/sound")
    assert facts["commit"] == hub_mirror.head("fetch/sound")
    (left_out,) = facts["left_out"]
    assert left_out.endswith("the release takes model.safetensors and leaves out pytorch_model.bin.")
    assert partials(tmp_path) == []


@pytest.mark.parametrize(
    ("link", "linked"),
    [
        ("legal/model.txt", "legal/model.txt"),
        ("https://huggingface.co/fetch/linked/blob/main/legal/model.txt", "legal/model.txt"),
        ("https://huggingface.co/fetch/linked/blob/main/legal/the%20model.gemma", "legal/the model.gemma"),
        ("https://huggingface.co/Fetch/Linked/blob/main/README.md#license", "README.md"),
    ],
)
def test_licences_travel_by_any_name(
    run: Fetch, hub_mirror: HubMirror, checkpoint: Path, link: str, linked: str
) -> None:
    names = ("MODEL_LICENSE", "license.md", "Notice", "COPYRIGHT", "docs/Gemma_Terms.txt", "UNLICENSE", "LICENSE.GPL")
    files = {name: f"the text of {name}".encode() for name in (*names, linked, "legal/other.txt")}
    files["README.md"] = f"---\nlicense: other\nlicense_link: {link}\n---\n".encode()
    hub_mirror.add("fetch/linked", {**contents(checkpoint), **files})
    context, _ = run("fetch/linked")
    copied = context.scratch / "copied"
    copied.mkdir()
    # The linked file is known as a licence by its place, so that conversions copy it, too.
    assert set(copy_companions(context.output, copied, NOTICES)) == {
        "LICENSE",
        *names,
        f"linked-licence/{linked}",
    }
    assert (copied / "linked-licence" / linked).read_bytes() == files[linked]
    assert not (context.output / "legal").exists() or not list((context.output / "legal").iterdir())


@pytest.mark.parametrize("link", [WEIGHTS, "data/terms.parquet", "tokenizer.json"])
def test_a_link_to_what_is_no_text_moves_nothing(
    run: Fetch, hub_mirror: HubMirror, checkpoint: Path, link: str
) -> None:
    wanted = {**contents(checkpoint), "README.md": f"---\nlicense: other\nlicense_link: {link}\n---\n".encode()}
    name = f"fetch/link-{Path(link).suffix[1:]}"
    hub_mirror.add(name, {"data/terms.parquet": b"p", **wanted})
    context, _ = run(name)
    assert contents(context.output) == wanted


def test_a_linked_licence_beside_a_file_named_licence(run: Fetch, hub_mirror: HubMirror, checkpoint: Path) -> None:
    card = b"---\nlicense: other\nlicense_link: legal/model.txt\n---\n"
    files = {**contents(checkpoint), "licence": b"a", "legal/model.txt": b"b", "README.md": card}
    hub_mirror.add("fetch/beside", files)
    context, _ = run("fetch/beside")
    found = contents(context.output)
    assert (found["licence"], found["linked-licence/legal/model.txt"]) == (b"a", b"b")
    hub_mirror.add("fetch/taken", {**files, "linked-licence": b"c"})
    with pytest.raises(Corrupt, match=r"fetch/taken has the name linked-licence, .+ \(legal/model\.txt\)"):
        run("fetch/taken")


def test_pickles_come_where_there_is_nothing_better(run: Fetch, hub_mirror: HubMirror, checkpoint: Path) -> None:
    files = contents(checkpoint)
    files["pytorch_model.bin"] = files.pop(WEIGHTS)
    hub_mirror.add("fetch/pickled", files)
    context, facts = run("fetch/pickled")
    assert facts["weight_format"] == "pytorch"
    assert (context.output / "pytorch_model.bin").exists()


def test_the_index_decides_which_shards(run: Fetch, hub_mirror: HubMirror, tmp_path: Path) -> None:
    files = contents(make_checkpoint(tmp_path / "sharded", shards=3))
    hub_mirror.add("fetch/sharded", {**files, "model-00004-of-00004.safetensors": b"of another set"})
    context, _ = run("fetch/sharded")
    assert contents(context.output) == files


def test_a_missing_shard_is_known_before_any_weights_come(run: Fetch, hub_mirror: HubMirror, tmp_path: Path) -> None:
    files = contents(make_checkpoint(tmp_path / "sharded", shards=3))
    del files["model-00002-of-00003.safetensors"]
    hub_mirror.add("fetch/shardless", files)
    with pytest.raises(
        Corrupt, match=r"index.json of fetch/shardless names model-00002-of-00003.safetensors, which is missing"
    ):
        run("fetch/shardless")
    assert bytes_sent(hub_mirror, "fetch/shardless", "model-00001-of-00003.safetensors") == 0


@pytest.mark.parametrize("shard", ["../../home/x.safetensors", "/etc/passwd", "a\\b"])
def test_an_index_that_leads_out_of_the_folder(run: Fetch, hub_mirror: HubMirror, tmp_path: Path, shard: str) -> None:
    folder = make_checkpoint(tmp_path / "sharded", shards=2)
    write_json(folder / f"{WEIGHTS}.index.json", {"weight_map": {"a": shard}})
    hub_mirror.add("fetch/hostile", contents(folder))
    with pytest.raises(Corrupt, match="could lead out of its folder"):
        run("fetch/hostile")


@pytest.mark.parametrize("index", [b"[]", b"{}", b"no json", b'{"weight_map": {}}'])
def test_an_index_that_is_none(run: Fetch, hub_mirror: HubMirror, tmp_path: Path, index: bytes) -> None:
    files = contents(make_checkpoint(tmp_path / "sharded", shards=2))
    hub_mirror.add("fetch/indexless", {**files, f"{WEIGHTS}.index.json": index})
    with pytest.raises(Corrupt, match="has no 'weight_map'|names no shard"):
        run("fetch/indexless")


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_comes_only_where_a_configuration_refers_to_it(
    run: Fetch, hub_mirror: HubMirror, tmp_path: Path, file: str
) -> None:
    folder = make_checkpoint(tmp_path / "code")
    write_json(folder / file, {**json.loads((folder / file).read_text()), "auto_map": {"AutoX": "modeling_x.X"}})
    hub_mirror.add("fetch/code", {**contents(folder), "modeling_x.py": b"class X: ..."})
    context, _ = run("fetch/code")
    assert (context.output / "modeling_x.py").exists()


@pytest.mark.parametrize("file", [WEIGHTS, "tokenizer.json"])
def test_a_flipped_byte_is_noticed_and_fetched_again(
    run: Fetch, hub_mirror: HubMirror, checkpoint: Path, file: str
) -> None:
    hub_mirror.add("fetch/flipped", contents(checkpoint))
    hub_mirror.fail("fetch/flipped", file, "flip", at=777)
    context, _ = run("fetch/flipped")
    assert contents(context.output) == contents(checkpoint)


@pytest.mark.parametrize("file", [WEIGHTS, "tokenizer.json"])
def test_bytes_that_stay_wrong_make_no_snapshot(
    run: Fetch, hub_mirror: HubMirror, checkpoint: Path, tmp_path: Path, file: str
) -> None:
    hub_mirror.add("fetch/damaged", contents(checkpoint))
    hub_mirror.fail("fetch/damaged", file, "flip", at=777, times=2)
    with pytest.raises(Corrupt, match=f"{file} of fetch/damaged arrived 2 times with another digest"):
        run("fetch/damaged")
    assert partials(tmp_path) == []


def test_a_cut_transfer_goes_on_where_it_broke_off(run: Fetch, hub_mirror: HubMirror, checkpoint: Path) -> None:
    hub_mirror.add("fetch/cut", contents(checkpoint))
    hub_mirror.fail("fetch/cut", WEIGHTS, "cut", at=100_000)
    context, _ = run("fetch/cut")
    assert contents(context.output) == contents(checkpoint)
    assert bytes_sent(hub_mirror, "fetch/cut", WEIGHTS) <= (checkpoint / WEIGHTS).stat().st_size + 1024


def test_a_later_call_goes_on_with_the_partial(
    run: Fetch, hub_mirror: HubMirror, checkpoint: Path, tmp_path: Path
) -> None:
    hub_mirror.add("fetch/later", contents(checkpoint))
    hub_mirror.fail("fetch/later", WEIGHTS, "cut", at=100_000)
    hub_mirror.fail("fetch/later", WEIGHTS, 503, times=hub_retry.ATTEMPTS - 1)
    with pytest.raises(HubUnavailable, match=f"answered 503 for {WEIGHTS} of fetch/later"):
        run("fetch/later")
    (partial,) = partials(tmp_path)
    kept = partial.stat().st_size
    assert 0 < kept <= 100_000
    before = bytes_sent(hub_mirror, "fetch/later", WEIGHTS)
    context, _ = run("fetch/later")
    assert contents(context.output) == contents(checkpoint)
    assert bytes_sent(hub_mirror, "fetch/later", WEIGHTS) - before == (checkpoint / WEIGHTS).stat().st_size - kept


def test_a_partial_with_wrong_bytes_is_thrown_away(
    run: Fetch, hub_mirror: HubMirror, checkpoint: Path, tmp_path: Path
) -> None:
    hub_mirror.add("fetch/rotten", contents(checkpoint))
    folder = tmp_path / "home" / "cache" / "partial"
    folder.mkdir(parents=True)
    (folder / hashlib.sha256((checkpoint / WEIGHTS).read_bytes()).hexdigest()).write_bytes(b"rotten" * 99)
    context, _ = run("fetch/rotten")
    assert contents(context.output) == contents(checkpoint)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_hub_is_asked_again(run: Fetch, hub_mirror: HubMirror, checkpoint: Path, status: int) -> None:
    hub_mirror.add("fetch/busy", contents(checkpoint))
    hub_mirror.fail("fetch/busy", "config.json", status, times=2)
    context, _ = run("fetch/busy")
    assert contents(context.output) == contents(checkpoint)


def test_a_disk_too_small_is_said_before_the_weights_come(
    run: Fetch, hub_mirror: HubMirror, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_mirror.add("fetch/large", contents(checkpoint))
    monkeypatch.setattr(fetch_module, "free_disk_bytes", lambda: 300_000)
    with pytest.raises(DiskFull, match=r"needs .* MB on the disk of .*/home, and 0.3 MB are free; .* clear"):
        run("fetch/large")
    assert bytes_sent(hub_mirror, "fetch/large", WEIGHTS) == 0


def test_the_copy_of_a_store_counts_only_on_the_same_disk(
    run: Fetch, hub_mirror: HubMirror, checkpoint: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub_mirror.add("fetch/twice", contents(checkpoint))
    once = sum(len(content) for content in contents(checkpoint).values())
    monkeypatch.setattr(fetch_module, "free_disk_bytes", lambda: once * 3 // 2)
    with pytest.raises(DiskFull):
        run("fetch/twice")
    elsewhere = make_context(Path(mkdtemp(dir=checkpoint.parent)), store=LocalStore(small_disk / "store"))
    assert fetch(FetchParameters(repository="fetch/twice", commit=commit), elsewhere)["bytes"] <= once


@pytest.mark.parametrize("fault", ["short", "more", "gone"])
def test_a_folder_that_differs_from_the_listing_is_no_snapshot(
    run: Fetch, hub_mirror: HubMirror, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    name = f"fetch/unlike-{fault}"
    hub_mirror.add(name, contents(checkpoint))

    def spoiled(repository: HubRepository, file: HubFile, path: Path, *others: Any) -> None:
        download(repository, file, path, *others)
        if file.path == WEIGHTS:
            spoil(path)

    def spoil(path: Path) -> None:
        if fault == "more":
            path.with_name("more").write_bytes(b"")
            return
        # The same file is in the cache of downloads.
        whole = path.read_bytes()
        path.unlink()
        if fault == "short":
            path.write_bytes(whole[:-1])

    monkeypatch.setattr(fetch_module, "download", spoiled)
    differs = "more" if fault == "more" else WEIGHTS
    with pytest.raises(Corrupt, match=rf"not what the Hub lists \({differs} differs\); run the release again\.$"):
        run(name)


def test_progress_reports_the_speed(
    run: Fetch, hub_mirror: HubMirror, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_mirror.add("fetch/told", contents(checkpoint))
    monkeypatch.setattr(fetch_module, "PROGRESS_SECONDS", 0.0)
    context, _ = run("fetch/told")
    assert any("MB/s" in message for message in context.messages)
    assert context.messages[-1].startswith(f"{len(contents(checkpoint))} files")
