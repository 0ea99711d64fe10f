"""The embedding and the output head are found by the names that families give them, and by their shapes."""

import pytest

from tasks.checkpoint.embedding import count_tokens, find_embedding, find_head, find_lone_head
from tasks.checkpoint.model_config import parse_config
from tasks.checkpoint.tensor import Tensor

ROWS, WIDTH = 40, 8


def tensors(*names: str, shape: tuple[int, ...] = (ROWS, WIDTH)) -> dict[str, Tensor]:
    return {name: Tensor("F32", shape, 4 * ROWS * WIDTH, "model.safetensors") for name in names}


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("model.embed_tokens.weight", "model."),
        ("model.language_model.embed_tokens.weight", "model.language_model."),
        ("transformer.wte.weight", "transformer."),
        ("transformer.word_embeddings.weight", "transformer."),
        ("gpt_neox.embed_in.weight", "gpt_neox."),
        ("tok_embeddings.weight", ""),
    ],
)
def test_the_embedding_of_each_family_is_found_with_its_prefix(name: str, prefix: str) -> None:
    assert find_embedding(tensors("model.norm.weight", name), False) == (name, prefix)


@pytest.mark.parametrize("name", ["transformer.wpe.weight", "model.embed_tokens.bias", "model.embed_positions.weight"])
def test_other_tensors_are_no_embedding(name: str) -> None:
    assert find_embedding(tensors(name), True) is None


def test_an_embedding_is_a_matrix() -> None:
    assert find_embedding(tensors("model.embed_tokens.weight", shape=(ROWS,)), True) is None


NORM = Tensor("F32", (WIDTH,), 4 * WIDTH, "model.safetensors")
ALONE = {**tensors("lm_head.weight"), "model.layers.0.norm.weight": NORM, "model.norm.weight": NORM}


@pytest.mark.parametrize("tied", [True, None])
def test_the_head_of_a_tied_model_is_its_embedding_where_no_other_is_stored(tied: bool | None) -> None:
    assert find_embedding(ALONE, tied) == ("lm_head.weight", "model.")


def test_a_head_that_is_not_tied_is_no_embedding() -> None:
    assert find_embedding(ALONE, False) is None


def test_the_layers_of_several_parts_have_no_prefix_in_common() -> None:
    parts = {**ALONE, "vision.blocks.0.norm.weight": NORM}
    assert find_embedding(parts, True) == ("lm_head.weight", "")


@pytest.mark.parametrize(
    "found",
    [
        {**ALONE, **tensors("model.embed_tokens.weight", shape=(ROWS, 2))},
        # Mamba's embedding is under a name that is not known here.
        {**ALONE, **tensors("backbone.embeddings.weight")},
        tensors("model.layers.0.attention.output.weight"),
        tensors("lm_head.weight", shape=(ROWS,)),
    ],
    ids=["an embedding", "an unknown embedding", "a matrix of a layer", "no matrix"],
)
def test_no_head_is_alone_beside_an_embedding(found: dict[str, Tensor]) -> None:
    assert find_lone_head(found, True) is None


@pytest.mark.parametrize("name", ["lm_head.weight", "embed_out.weight", "model.lm_head.weight", "output.weight"])
def test_a_head_has_one_row_for_each_token(name: str) -> None:
    assert find_head(tensors("model.norm.weight", name), ROWS) == name
    assert find_head(tensors(name), ROWS - 1) is None
    assert find_head(tensors(name, shape=(ROWS,)), ROWS) is None


def test_a_matrix_of_another_name_is_no_head() -> None:
    assert find_head(tensors("model.embed_tokens.weight", "score.weight", "lm_head.bias"), ROWS) is None


@pytest.mark.parametrize(("kind", "tokens"), [("llama", ROWS), ("mllama", ROWS - 8), ("mllama_text_model", ROWS - 8)])
def test_rows_for_images_are_no_tokens(kind: str, tokens: int) -> None:
    (embedding,) = tensors("model.embed_tokens.weight").values()
    assert count_tokens(parse_config({"model_type": kind}), embedding) == tokens


def test_an_embedding_of_image_rows_alone_has_no_token() -> None:
    (embedding,) = tensors("model.embed_tokens.weight", shape=(4, WIDTH)).values()
    assert count_tokens(parse_config({"model_type": "mllama"}), embedding) == 0
