"""The Hub mirror, asked by the official client."""

import hashlib
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from safetensors.numpy import save

CARD = (
    b"---\nlicense: apache-2.0\npipeline_tag: text-generation\nlibrary_name: transformers\ntags: [tiny]\n---\n# Tiny\n"
)


def weights(seed: int = 0) -> bytes:
    import numpy as np

    return save({"w": np.full((64, 32), seed, dtype=np.float32), "b": np.zeros(8, dtype=np.float16)})


def model(seed: int = 0) -> dict[str, bytes | Path]:
    return {
        "README.md": CARD,
        "config.json": b'{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}',
        "model.safetensors": weights(seed),
        "onnx/extra.json": b"{}",
    }


@pytest.fixture
def api(hub_mirror: Any) -> HfApi:
    return HfApi(endpoint=hub_mirror.url)


def test_a_model_is_described_as_the_hub_does(hub_mirror: Any, api: HfApi) -> None:
    commit = hub_mirror.add("acme/described", model())
    info = api.model_info("acme/described", files_metadata=True)
    assert info.sha == commit and len(commit) == 40
    assert (info.gated, info.private) == (False, False)
    assert info.card_data is not None and info.card_data["license"] == "apache-2.0"
    assert info.last_modified is not None
    files = {sibling.rfilename: sibling for sibling in info.siblings or []}
    assert set(files) == {"README.md", "config.json", "model.safetensors", "onnx/extra.json"}
    large = files["model.safetensors"]
    assert large.lfs is not None and large.lfs.sha256 == hashlib.sha256(weights()).hexdigest()
    assert large.size == len(weights())
    # The id that `git hash-object` gives for the card.
    git_id = hashlib.sha1(b"blob %d\0" % len(CARD) + CARD).hexdigest()
    assert files["README.md"].lfs is None and files["README.md"].blob_id == git_id


def test_the_same_files_have_the_same_commit_and_others_another(hub_mirror: Any) -> None:
    first = hub_mirror.add("acme/same", model())
    assert hub_mirror.add("acme/same", model()) == first
    assert hub_mirror.add("acme/same", model(seed=1)) != first
    assert hub_mirror.add("acme/like-same", model()) != first


def test_a_snapshot_and_a_file_arrive_whole(hub_mirror: Any, api: HfApi, tmp_path: Path) -> None:
    commit = hub_mirror.add("acme/whole", model())
    folder = Path(snapshot_download("acme/whole", revision=commit, cache_dir=tmp_path, endpoint=hub_mirror.url))
    assert (folder / "model.safetensors").read_bytes() == weights()
    assert (folder / "onnx" / "extra.json").read_bytes() == b"{}"
    file = hf_hub_download("acme/whole", "README.md", local_dir=tmp_path / "one", endpoint=hub_mirror.url)
    assert Path(file).read_bytes() == CARD
    assert api.verify_repo_checksums("acme/whole", cache_dir=tmp_path).mismatches == []
    assert len(hub_mirror.requests("acme/whole", "model.safetensors")) == 1
    assert hub_mirror.bytes_sent("acme/whole", "model.safetensors") == len(weights())


def test_a_new_commit_leaves_the_old_one_in_place(hub_mirror: Any, api: HfApi, tmp_path: Path) -> None:
    old = hub_mirror.add("acme/moving", model())
    new = hub_mirror.add("acme/moving", model(seed=2))
    assert api.model_info("acme/moving").sha == api.model_info("acme/moving", revision="main").sha == new
    assert api.model_info("acme/moving", revision=old).sha == old
    assert api.model_info("acme/moving", revision=old[:7]).sha == old
    for commit, seed in ((old, 0), (new, 2)):
        file = hf_hub_download(
            "acme/moving", "model.safetensors", revision=commit, cache_dir=tmp_path, endpoint=api.endpoint
        )
        assert Path(file).read_bytes() == weights(seed)


def test_every_file_is_listed(hub_mirror: Any, api: HfApi) -> None:
    hub_mirror.add("acme/many", {f"part/{n:03}.json": b"%d" % n for n in range(120)} | {"top.txt": b"top"})
    files = [entry for entry in api.list_repo_tree("acme/many", recursive=True) if isinstance(entry, RepoFile)]
    assert len(files) == 121


@pytest.mark.parametrize("token", [None, "hf_unknown"])
def test_a_wrong_name_and_a_wrong_revision_differ(hub_mirror: Any, api: HfApi, token: str | None) -> None:
    hub_mirror.add("acme/right", model())
    with pytest.raises(RepositoryNotFoundError) as wrong:
        api.model_info("acme/wrong", token=token)
    assert wrong.value.response.status_code == (401 if token is None else 404)
    with pytest.raises(RevisionNotFoundError):
        api.model_info("acme/right", revision="absent", token=token)
    with pytest.raises(RevisionNotFoundError):
        api.model_info("acme/right", revision="0" * 40, token=token)
    with pytest.raises(EntryNotFoundError):
        hf_hub_download("acme/right", "absent.json", endpoint=hub_mirror.url, token=token)


def test_gated_and_private_repositories_ask_who_is_there(hub_mirror: Any, api: HfApi, tmp_path: Path) -> None:
    hub_mirror.add("acme/gated", model(), access={"gated": "manual", "tokens": ["hf_granted"]})
    hub_mirror.add("acme/secret", model(), access={"private": True, "tokens": ["hf_granted"]})
    assert api.model_info("acme/gated").gated == "manual"
    for token, status in ((None, 401), ("hf_other", 403)):
        with pytest.raises(GatedRepoError) as refused:
            hf_hub_download(
                "acme/gated", "config.json", cache_dir=tmp_path, token=token or False, endpoint=api.endpoint
            )
        assert refused.value.response.status_code == status
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("acme/secret", token="hf_other")
    for repository in ("acme/gated", "acme/secret"):
        file = hf_hub_download(
            repository, "model.safetensors", cache_dir=tmp_path, token="hf_granted", endpoint=api.endpoint
        )
        assert Path(file).read_bytes() == weights()


def test_ranges_of_large_files_follow_the_redirect(hub_mirror: Any) -> None:
    hub_mirror.add("acme/ranges", model())
    address = f"{hub_mirror.url}/acme/ranges/resolve/main/model.safetensors"
    request = urllib.request.Request(address, headers={"Range": "bytes=100-199"})
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 206 and answer.headers["Content-Range"] == f"bytes 100-199/{len(weights())}"
        assert answer.read() == weights()[100:200]
        permitted = answer.url
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(permitted.replace("signature=", "signature=0"))


@pytest.mark.parametrize("path", ["..%2f..%2fetc/passwd", "%2e%2e/%2e%2e/x", ".revisions/x/README.md"])
def test_nothing_beside_the_files_is_served(hub_mirror: Any, path: str) -> None:
    hub_mirror.add("acme/closed", model())
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{hub_mirror.url}/acme/closed/resolve/main/{path}")


def test_planted_faults_reach_the_client(hub_mirror: Any, tmp_path: Path) -> None:
    hub_mirror.add("acme/faulty", model())
    hub_mirror.fail("acme/faulty", "model.safetensors", "flip", at=300)
    file = hf_hub_download("acme/faulty", "model.safetensors", cache_dir=tmp_path, endpoint=hub_mirror.url)
    assert Path(file).read_bytes() != weights() and Path(file).stat().st_size == len(weights())
    hub_mirror.fail("acme/faulty", "config.json", 503)
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(f"{hub_mirror.url}/acme/faulty/resolve/main/config.json")


@pytest.mark.parametrize("path", ["/api/models/acme/any", "/healthz"])
def test_a_foreign_host_name_is_refused(hub_mirror: Any, path: str) -> None:
    request = urllib.request.Request(hub_mirror.url + path, headers={"Host": "attacker.example"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request)
