"""Target names, options, predictions and keys, as recipes, preflight and the store use them."""

from datetime import UTC, datetime

import pytest

from tasks import keys
from tasks.checkpoint.analysis import Analysis
from tasks.errors import InvalidRecipe, Unsupported
from tasks.formats.base import ConvertParameters
from tasks.formats.gguf import target as gguf
from tasks.formats.registry import load_format, parse_target, target_names
from tasks.manifest import FileEntry, Manifest

# Qwen2.5-0.5B as its repository describes it.
QWEN = Analysis(
    architecture="Qwen2ForCausalLM",
    model_type="qwen2",
    parameters=494_032_768,
    embedding_parameters=136_134_656,
    dtype="bfloat16",
    weight_format="safetensors",
    weight_bytes=988_097_824,
    layers=24,
    hidden_size=896,
    heads=14,
    kv_heads=2,
    head_dim=64,
    vocabulary_size=151_936,
    context_length=32_768,
    tied_embeddings=True,
    experts=0,
    tokenizer="byte-bpe",
    chat_template=True,
    row_lengths={896: 145, 4864: 24},
    needs_code=False,
)


@pytest.fixture(autouse=True)
def known_architectures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "supported_architectures", lambda: frozenset({"Qwen2ForCausalLM"}))


def test_every_listed_name_is_parsed() -> None:
    names = [name for name in target_names() if name.startswith("gguf-")]
    asked = ["f16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_k_s", "q4_0", "q4_1", "q2_k", "imatrix"]
    assert {f"gguf-{kind}" for kind in asked} <= set(names)
    assert [parse_target(name).name for name in names] == names


@pytest.mark.parametrize(
    ("name", "requires", "servable"),
    [
        ("gguf-f16", ("snapshot", "analysis"), True),
        ("gguf-imatrix", ("gguf-f16", "calibration"), False),
        ("gguf-q8_0", ("gguf-f16",), True),
        ("gguf-q6_k", ("gguf-f16",), True),
        ("gguf-q4_k_m", ("gguf-f16", "gguf-imatrix"), True),
        ("gguf-q2_k", ("gguf-f16", "gguf-imatrix"), True),
    ],
)
def test_what_a_target_is_made_from(name: str, requires: tuple[str, ...], servable: bool) -> None:
    target = parse_target(name)
    assert (target.requires, target.servable) == (requires, servable)


def test_the_imatrix_option_overrides_the_habit() -> None:
    assert parse_target("gguf-q4_k_m", {"imatrix": False}).requires == ("gguf-f16",)
    assert parse_target("gguf-q8_0", {"imatrix": True}).requires == ("gguf-f16", "gguf-imatrix")


def test_the_control_of_a_file_with_an_importance_matrix_is_made_without_one() -> None:
    format = load_format("gguf")
    for target in (parse_target("gguf-q4_k_m"), parse_target("gguf-q8_0", {"imatrix": True, "as": "mine"})):
        control = format.control(target)
        assert control == parse_target(f"gguf-{target.scheme}", {"imatrix": False})
        assert format.described(target).no_control is None
    assert format.control(parse_target("gguf-q8_0")) is None
    assert format.control(parse_target("gguf-f16")) is None


def test_a_type_that_needs_an_importance_matrix_has_no_control_and_says_why() -> None:
    format, target = load_format("gguf"), parse_target("gguf-iq2_xxs")
    assert format.control(target) is None
    assert format.described(target).no_control == "iq2_xxs cannot be made without an importance matrix"


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("gguf-q4_k_l", {}, "gguf-q4_k_l"),
        ("gguf-f16", {"imatrix": True}, "it has none"),
        ("gguf-q4_k_m", {"imatrx": True}, "'imatrx'"),
        ("gguf-q4_k_m", {"imatrix": "yes"}, "imatrix: Input should be a valid boolean"),
        ("gguf-iq2_xxs", {"imatrix": False}, "importance matrix"),
    ],
)
def test_nonsense_is_refused(name: str, options: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidRecipe, match=says):
        parse_target(name, options)


@pytest.mark.parametrize(
    ("name", "megabytes"), [("f16", 992), ("q8_0", 529), ("q5_k_m", 418), ("q4_k_m", 395), ("q2_k", 336), ("q4_0", 350)]
)
def test_sizes_are_near_to_what_llama_cpp_makes(name: str, megabytes: int) -> None:
    predicted = gguf.predict(parse_target(f"gguf-{name}"), QWEN).size_bytes / 1e6
    assert predicted == pytest.approx(megabytes, rel=0.06)


def test_memory_holds_the_input() -> None:
    prediction = gguf.predict(parse_target("gguf-q2_k"), QWEN)
    assert prediction.memory_bytes > 2 * QWEN.parameters
    assert prediction.disk_bytes > prediction.size_bytes + 2 * QWEN.parameters


@pytest.mark.parametrize(
    ("changes", "name", "says"),
    [
        ({"architecture": "NewForCausalLM"}, "gguf-f16", "NewForCausalLM"),
        ({"tokenizer": "none"}, "gguf-f16", "tokenizer.json"),
        ({"row_lengths": {896: 169}}, "gguf-q4_k_m", "gguf-q8_0"),
        ({"needs_code": True}, "gguf-f16", "Python code from its repository"),
    ],
)
def test_what_cannot_be_made_is_said_beforehand(changes: dict[str, object], name: str, says: str) -> None:
    with pytest.raises(Unsupported, match=says):
        gguf.predict(parse_target(name), QWEN.model_copy(update=changes))


def test_odd_rows_leave_types_of_small_blocks_possible() -> None:
    odd = QWEN.model_copy(update={"row_lengths": {896: QWEN.matrices}})
    assert gguf.predict(parse_target("gguf-q8_0"), odd).size_bytes > 0


def test_a_mirror_with_the_same_bytes_has_a_key_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is named after the repository, and so is `general.name` in it."""
    monkeypatch.setattr(keys, "native_digest", {"llama.cpp": "build"}.__getitem__)
    files = (FileEntry(path="config.json", size=1, sha256="1" * 64),)

    def key(repository: str) -> str:
        facts = {"repository": repository}
        source = Manifest(
            key="a" * 64, attempt="one", kind="fetch", created=datetime.now(UTC), files=files, facts=facts
        )
        parameters = ConvertParameters(target=parse_target("gguf-f16"))
        (maker,) = gguf.FORMAT.makers.values()
        return keys.compute_key(maker, parameters, {"snapshot": source}, threads=1, hardware="a processor")

    assert key("acme/llama") == key("acme/llama")
    assert key("acme/llama") != key("copies/llama-mirrored")


@pytest.mark.parametrize(("name", "threads"), [("gguf-f16", 1), ("gguf-imatrix", 16), ("gguf-q4_k_m", 8)])
def test_how_many_threads_help_a_conversion_depends_on_its_tool(name: str, threads: int) -> None:
    assert gguf.FORMAT.maker(parse_target(name)).threads == threads
