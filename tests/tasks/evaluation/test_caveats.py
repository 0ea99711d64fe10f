from pathlib import Path

from tasks.evaluation.caveats import Caveat, as_facts, caveats_of
from tests.fixtures.context import manifest_of

NFC = Caveat(text="llama.cpp leaves the NFC normalization out", explains="tokenizer_parity")
LIMIT = Caveat(text="the file's context ends at 300 tokens")


def test_caveats_are_facts_of_an_artifact(tmp_path: Path) -> None:
    (tmp_path / "model.toy").write_bytes(b"weights")
    artifact = manifest_of(tmp_path)
    assert caveats_of(artifact) == ()
    assert caveats_of(artifact.model_copy(update={"facts": as_facts([NFC, LIMIT])})) == (NFC, LIMIT)
    assert as_facts([]) == {}, "the facts of an artifact without any stay as they are"


def test_a_caveat_is_also_a_sentence() -> None:
    assert LIMIT.sentence == "The file's context ends at 300 tokens."
