"""Pin against the Hub mirror: the commit and the facts, and one sentence for whatever stands in the way."""

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import yaml

from tasks.errors import AccessDenied, Corrupt, HubUnavailable, InvalidRecipe, NotFound, Refused, Unsupported
from tasks.source import hub_retry
from tasks.source.hub import read_repository
from tasks.source.parameters import PinParameters
from tasks.source.pin import pin
from tests.fixtures.checkpoints import make_checkpoint
from tests.fixtures.context import make_context
from tests.fixtures.servers import HubMirror, free_port

Pin = Callable[..., Mapping[str, Any]]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "home"))


@pytest.fixture
def run(hub_mirror: HubMirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pin:
    monkeypatch.setattr(hub_retry, "FIRST_PAUSE_SECONDS", 0.01)

    def run_pin(repository: str, **changes: Any) -> Mapping[str, Any]:
        parameters = PinParameters.model_validate({"repository": repository, "licences": ["apache-2.0"], **changes})
        return pin(parameters, make_context(Path(mkdtemp(dir=tmp_path))))

    return run_pin


@pytest.fixture
def checkpoint(tmp_path: Path) -> dict[str, Path]:
    folder = make_checkpoint(tmp_path / "checkpoint")
    return {path.name: path for path in folder.iterdir()}


def test_a_branch_becomes_a_commit_with_facts(
    run: Pin, hub_mirror: HubMirror, checkpoint: dict[str, Path], tmp_path: Path
) -> None:
    commit = hub_mirror.add("pin/sound", checkpoint)
    facts = run("pin/sound")
    assert facts["commit"] == commit
    assert facts["licence"] == "apache-2.0"
    assert facts["files"] == len(checkpoint)
    assert facts["weight_bytes"] == checkpoint["model.safetensors"].stat().st_size
    assert facts["gated"] is False and facts["private"] is False
    assert facts["last_modified"].startswith("20")


def test_a_renamed_repository_has_its_new_name(
    hub_mirror: HubMirror, checkpoint: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_mirror.add("pin/renamed", checkpoint)
    # The mirror has no former names, to which the Hub answers.
    monkeypatch.setattr("tasks.source.pin.read_repository", lambda _, *rest: read_repository("pin/renamed", *rest))
    context = make_context(tmp_path / "work")
    facts = pin(PinParameters(repository="old/name", licences=("*",)), context)
    assert facts["repository"] == "pin/renamed"
    assert "/pin/renamed/tree/" in facts["url"]
    assert context.messages[0].startswith("The Hub calls old/name pin/renamed; the release has this name.")


def test_an_adapter_beside_the_weights_is_told(
    hub_mirror: HubMirror, checkpoint: dict[str, Path], tmp_path: Path
) -> None:
    hub_mirror.add("pin/adapted", {**checkpoint, "adapter_config.json": b"{}", "adapter_model.safetensors": b"x"})
    context = make_context(tmp_path / "work")
    pin(PinParameters(repository="pin/adapted", licences=("*",)), context)
    assert any(message.startswith("pin/adapted also has an adapter") for message in context.messages)


def test_a_quantized_model_and_a_wrong_config_are_refused_at_once(
    run: Pin, hub_mirror: HubMirror, tmp_path: Path
) -> None:
    gptq = make_checkpoint(tmp_path / "gptq", config={"quantization_config": {"quant_method": "gptq", "bits": 4}})
    hub_mirror.add("pin/gptq", {path.name: path for path in gptq.iterdir()})
    with pytest.raises(Unsupported, match=r"config\.json of pin/gptq has a quantization_config \(gptq\)"):
        run("pin/gptq")
    texts = make_checkpoint(tmp_path / "texts", config={"num_hidden_layers": "two"})
    hub_mirror.add("pin/texts", {path.name: path for path in texts.iterdir()})
    with pytest.raises(Corrupt, match="num_hidden_layers"):
        run("pin/texts")


def test_an_older_commit_stays_reachable(run: Pin, hub_mirror: HubMirror, checkpoint: dict[str, Path]) -> None:
    old = hub_mirror.add("pin/moved", checkpoint)
    new = hub_mirror.add("pin/moved", {**checkpoint, "NOTICE": b"new"})
    assert run("pin/moved")["commit"] == new != old


def test_a_pinned_commit_is_itself(run: Pin, hub_mirror: HubMirror, checkpoint: dict[str, Path]) -> None:
    old = hub_mirror.add("pin/twice", checkpoint)
    hub_mirror.add("pin/twice", {**checkpoint, "NOTICE": b"new"})
    assert run("pin/twice", revision=old)["commit"] == old


def test_a_wrong_name(run: Pin, monkeypatch: pytest.MonkeyPatch) -> None:
    advice = (
        r"it is private: then set HF_TOKEN .*'hallmark_hub'.* check the name, "
        'or set `hub = "huggingface"` in settings.toml of the laptop stack and run `make up`'
    )
    with pytest.raises(NotFound, match=rf"There is no model 'pin/absent' on http.*{advice}"):
        run("pin/absent")


def test_a_wrong_revision(run: Pin, hub_mirror: HubMirror, checkpoint: dict[str, Path]) -> None:
    hub_mirror.add("pin/branchless", checkpoint)
    with pytest.raises(NotFound, match="pin/branchless has no branch, tag or commit 'v9'"):
        run("pin/branchless", revision="v9")


def test_a_private_repository_needs_its_token(
    run: Pin, hub_mirror: HubMirror, checkpoint: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_mirror.add("pin/private", checkpoint, {"private": True, "tokens": ["hf_good"]})
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(NotFound, match="the token in HF_TOKEN .*'hallmark_hub'.* may not read it"):
        run("pin/private")


def test_a_private_repository_with_its_token(
    run: Pin, hub_mirror: HubMirror, checkpoint: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_mirror.add("pin/mine", checkpoint, {"private": True, "tokens": ["hf_good"]})
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    assert run("pin/mine")["private"] is True


@pytest.mark.parametrize("token", [None, "hf_stranger"])
def test_a_gated_repository_says_where_to_ask(
    run: Pin, hub_mirror: HubMirror, checkpoint: dict[str, Path], monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    hub_mirror.add("pin/gated", checkpoint, {"gated": "manual", "tokens": ["hf_good"]})
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(
        AccessDenied, match=rf"pin/gated is gated: ask for access at {hub_mirror.url}/pin/gated .*HF_TOKEN"
    ):
        run("pin/gated")


def test_a_gated_repository_with_access(
    run: Pin, hub_mirror: HubMirror, checkpoint: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_mirror.add("pin/granted", checkpoint, {"gated": "auto", "tokens": ["hf_good"]})
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    assert run("pin/granted")["gated"] == "auto"


def test_no_network(run: Pin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(HubUnavailable, match="cannot be reached for pin/anything"):
        run("pin/anything")


def test_an_endpoint_that_is_no_address(run: Pin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "localhost")
    with pytest.raises(InvalidRecipe, match="HF_ENDPOINT .*'hallmark_hub'.* is 'localhost'"):
        run("pin/anything")


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (
            b"---\nlicense: cc-by-nc-4.0\n---\n",
            r"licence 'cc-by-nc-4.0' .*add the line '- cc-by-nc-4.0' below 'licences:'",
        ),
        (b"# No front matter\n", "names no licence"),
        (b"---\nlicense: other\nlicense_name: Strange-Licence\n---\n", "licence 'strange-licence'"),
    ],
)
def test_a_licence_that_is_not_allowed(
    run: Pin, hub_mirror: HubMirror, checkpoint: dict[str, Path], card: bytes, message: str
) -> None:
    hub_mirror.add("pin/licence", {**checkpoint, "README.md": card})
    with pytest.raises(Refused, match=message):
        run("pin/licence")
    assert run("pin/licence", licences=["*"])["commit"]


@pytest.mark.parametrize(
    ("card", "line"),
    [
        (b"license: apache-1.1", "- apache-1.1"),
        (b'license: "\\n"', r'- "\n"'),
        (b'license: "mit: as is"', '- "mit: as is"'),
        (b'license: "no"', '- "no"'),
        (b'license: "*mit"', '- "*mit"'),
        (b'license: "\\u202emit"', r'- "\u202Emit"'),
    ],
)
def test_the_line_that_would_allow_a_licence_is_one_line_of_yaml(
    run: Pin, hub_mirror: HubMirror, checkpoint: dict[str, Path], card: bytes, line: str
) -> None:
    hub_mirror.add("pin/line", {**checkpoint, "README.md": b"---\n" + card + b"\n---\n"})
    with pytest.raises(Refused) as refused:
        run("pin/line")
    assert str(refused.value).endswith(f"add the line '{line}' below 'licences:' in the recipe.")
    assert str(refused.value).isprintable()
    assert run("pin/line", licences=yaml.safe_load(line))["commit"]


@pytest.mark.parametrize(
    ("card", "allowed", "refused"),
    [
        (b"license: [apache-2.0, cc-by-nc-4.0]", ["apache-2.0"], "cc-by-nc-4.0"),
        (b"license: [apache-2.0, cc-by-nc-4.0]", ["cc-by-nc-4.0"], "apache-2.0"),
        (b"license: [mit, other]\nlicense_name: strange", ["mit", "other"], "strange"),
        (b"license: [Apache 2.0, apache_2.0]", ["apache-2.0"], None),
        (b"license: [mit, other]\nlicense_name: Strange", ["MIT", "strange"], None),
    ],
)
def test_each_licence_of_a_list_must_be_allowed(
    run: Pin, hub_mirror: HubMirror, checkpoint: dict[str, Path], card: bytes, allowed: list[str], refused: str | None
) -> None:
    hub_mirror.add("pin/several", {**checkpoint, "README.md": b"---\n" + card + b"\n---\n"})
    if refused is None:
        assert run("pin/several", licences=allowed)["commit"]
        return
    with pytest.raises(Refused, match=rf"The licence '{refused}' .* add the line '- {refused}'"):
        run("pin/several", licences=allowed)


@pytest.mark.parametrize(
    ("link", "elsewhere"),
    [
        ("https://example.org/terms", True),
        ("https://huggingface.co/acme/another/blob/main/LICENSE", True),
        ("https://huggingface.co/pin/elsewhere/blob/main/LICENSE", False),
        ("LICENSE", False),
    ],
)
def test_the_text_of_a_licence_that_lies_elsewhere_is_told(
    hub_mirror: HubMirror, checkpoint: dict[str, Path], tmp_path: Path, link: str, elsewhere: bool
) -> None:
    card = f"---\nlicense: other\nlicense_name: terms\nlicense_link: {link}\n---\n".encode()
    hub_mirror.add("pin/elsewhere", {**checkpoint, "README.md": card})
    context = make_context(tmp_path)
    facts = pin(PinParameters(repository="pin/elsewhere", licences=("terms",)), context)
    assert facts["licence_link"] == (link if elsewhere else None)
    told = f"The card of pin/elsewhere names the licence's text {link!r}, which is no file of the repository"
    assert any(message.startswith(told) for message in context.messages) is elsewhere


def test_licences_compare_without_case(run: Pin, hub_mirror: HubMirror, checkpoint: dict[str, Path]) -> None:
    hub_mirror.add("pin/case", checkpoint)
    assert run("pin/case", licences=["Apache-2.0"])["licence"] == "apache-2.0"


def test_pickles_only_where_the_recipe_converts_them(
    run: Pin, hub_mirror: HubMirror, checkpoint: dict[str, Path]
) -> None:
    files: dict[str, bytes | Path] = {name: path for name, path in checkpoint.items() if name != "model.safetensors"}
    hub_mirror.add("pin/pickled", {**files, "pytorch_model.bin": b"1234"})
    with pytest.raises(Refused, match="'pickles: convert'"):
        run("pin/pickled")
    assert run("pin/pickled", pickles="convert")["weight_format"] == "pytorch"
    assert run("pin/pickled", pickles="convert")["weight_bytes"] == 4


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["model-Q4_K_M.gguf"], "GGUF files.*its card names acme/origin"),
        (["adapter_model.safetensors", "adapter_config.json"], "but an adapter"),
        (["unet/diffusion_pytorch_model.safetensors", "model_index.json"], "a diffusion pipeline"),
    ],
)
def test_repositories_without_usable_weights(run: Pin, hub_mirror: HubMirror, files: list[str], message: str) -> None:
    card = b"---\nlicense: apache-2.0\nbase_model: acme/origin\n---\n"
    hub_mirror.add("pin/other", {"README.md": card, "config.json": b"{}", **dict.fromkeys(files, b"x")})
    with pytest.raises(Unsupported, match=message):
        run("pin/other")


def test_no_weights_at_all(run: Pin, hub_mirror: HubMirror) -> None:
    hub_mirror.add("pin/empty", {"README.md": b"# Empty\n"})
    with pytest.raises(NotFound, match="pin/empty has no weights"):
        run("pin/empty")


def test_weights_without_a_configuration(run: Pin, hub_mirror: HubMirror) -> None:
    hub_mirror.add("pin/bare", {"model.safetensors": b"x"})
    with pytest.raises(NotFound, match="has no config.json"):
        run("pin/bare")


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "a//b", "a\\b", "a\0b", "a\x1b[2Jb", "a/./b", ""])
def test_hostile_names_are_refused(
    run: Pin, hub_mirror: HubMirror, checkpoint: dict[str, Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from deploy.local import hub_mirror as mirror

    hub_mirror.add("pin/hostile", checkpoint)
    honest = mirror._model

    def with_a_hostile_name(*arguments: Any) -> dict[str, Any]:
        told: dict[str, Any] = honest(*arguments)
        told["siblings"] = [{**told["siblings"][0], "rfilename": name}, *told["siblings"][1:]]
        return told

    monkeypatch.setattr(mirror, "_model", with_a_hostile_name)
    with pytest.raises(Corrupt, match="which (could lead out of its folder|a terminal or a shell could misread)"):
        run("pin/hostile")
