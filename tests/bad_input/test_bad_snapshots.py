"""Whatever is planted in a snapshot, `scan` says in one sentence which file and field it is, and nothing gets on."""

from pathlib import Path
from typing import Any, cast

import pytest

from tasks.contract import Spec
from tasks.errors import Corrupt, Refused, TerminalError
from tasks.execution import run
from tasks.source.checks import chat_template
from tasks.source.checks import tokenizer as checked_tokenizer
from tasks.source.scan import CHECKS, Checker
from tasks.store.local import LocalStore
from tests.bad_input.planting import (
    INDEX,
    PLAIN,
    SHARDS,
    WEIGHTS,
    Plant,
    config,
    cut,
    edited,
    entry,
    header,
    index,
    longer,
    norm,
    raw,
    shards,
    split,
    template,
    template_in_a_file_of_its_own,
    then,
    tokenizer,
    without,
)
from tests.bad_input.snapshots import keep
from tests.fixtures.checkpoints import make_checkpoint

ZERO = entry(shape=[0], data_offsets=[0, 0])
FIRST = "model.embed_tokens.weight"
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"

Case = tuple[Plant, type[TerminalError], str]

WEIGHT_FILES: dict[str, Case] = {
    "empty": (raw(WEIGHTS, b""), Corrupt, f"{WEIGHTS}: it has 0 bytes"),
    "seven bytes": (raw(WEIGHTS, b"\0" * 7), Corrupt, f"{WEIGHTS}: it has 7 bytes"),
    "cut": (cut(-2), Corrupt, f"{WEIGHTS}: the file is cut short"),
    "cut in header": (cut(99), Corrupt, f"{WEIGHTS}: .*but the file ends"),
    "longer": (longer, Corrupt, f"{WEIGHTS}: the file goes on"),
    "header too large": (header(b"{}", length=200_000_000), Corrupt, "claims 200000000 bytes, beyond the limit"),
    "header huge": (header(b"{}", length=2**64 - 1), Corrupt, "beyond the limit"),
    "header no JSON": (header(b"{'a':"), Corrupt, f"{WEIGHTS}: its JSON does not parse"),
    "header no UTF-8": (header(b'{"\xff": 1}'), Corrupt, f"{WEIGHTS}: its JSON does not parse"),
    "header a list": (header(b"[]"), Corrupt, "its JSON is not an object"),
    "header deep": (header(b"[" * 99_999), Corrupt, "its JSON does not parse"),
    "header empty": (header({}), Corrupt, "hold no tensor"),
    "duplicate": (header(b'{"a":{"dtype":"F32"},"a":1}'), Corrupt, f"{WEIGHTS}: the key 'a' occurs twice"),
    "duplicate within": (header(b'{"a":{"dtype":"F32","dtype":"F16"}}'), Corrupt, "the key 'dtype' occurs twice"),
    "metadata": (header({"__metadata__": {"a": 1}, "w": ZERO}), Corrupt, "__metadata__ is not a mapping"),
    "field missing": (header({"w": {"dtype": "F32"}}), Corrupt, "tensor 'w' must have exactly"),
    "field more": (header({"w": entry(more=1)}), Corrupt, "tensor 'w' must have exactly"),
    "dtype unknown": (header({"w": entry(dtype="F31")}), Corrupt, "tensor 'w' has the unknown dtype 'F31'"),
    "dtype a list": (header({"w": entry(dtype=["F32"])}), Corrupt, "tensor 'w' has the unknown dtype"),
    "dtype too wide": (header({"w": entry(dtype="F64")}, bytes(4)), Corrupt, "tensor 'w' has 4 bytes, where F64"),
    "shape negative": (header({"w": entry(shape=[-1])}), Corrupt, "tensor 'w' has the shape"),
    "shape fraction": (header({"w": entry(shape=[1.5])}), Corrupt, "tensor 'w' has the shape"),
    "shape overflows": (header({"w": entry(shape=[2**63, 2**63, 2])}), Corrupt, "tensor 'w' has the shape .*larger"),
    "shape wraps to 4": (header({"w": entry(shape=[2**62 + 1, 4])}, bytes(4)), Corrupt, "tensor 'w' has"),
    "shape of ones": (header({"w": entry(shape=[3] * 300_000)}), Corrupt, "tensor 'w' has the shape"),
    "shape of digits": (header(b'{"w":' + b"9" * 9999 + b"}"), Corrupt, "does not parse"),
    "offset negative": (header({"w": entry(data_offsets=[-4, 0])}), Corrupt, "tensor 'w' has the data_offsets"),
    "offset huge": (header({"w": entry(data_offsets=[2**63, 2**63 + 4])}), Corrupt, "tensor 'w' leaves a gap"),
    "offset a number": (header({"w": entry(data_offsets=4)}), Corrupt, "tensor 'w' has the data_offsets"),
    "offsets reversed": (header({"w": entry(data_offsets=[4, 0])}, bytes(4)), Corrupt, "tensor 'w' has -4 bytes"),
    "gap": (header({"w": entry(data_offsets=[4, 8])}, bytes(8)), Corrupt, "tensor 'w' leaves a gap"),
    "overlap": (header({"v": entry(), "w": entry(data_offsets=[2, 6])}, bytes(6)), Corrupt, "'w' overlaps"),
    "same place": (header({"v": entry(), "w": entry()}, bytes(4)), Corrupt, "'w' overlaps"),
    "NaN": (norm(np_nan := float("nan")), Corrupt, f"{WEIGHTS}: tensor 'model.norm.weight' is NaN .* element 7"),
    "NaN in float16": (norm(np_nan, "float16"), Corrupt, "'model.norm.weight' is NaN"),
    "infinity": (norm(float("-inf"), "float32"), Corrupt, "'model.norm.weight' is NaN or infinite at element 7"),
    "a pickle": (raw(WEIGHTS, b"\x80\x04\x95" + bytes(99)), Corrupt, f"{WEIGHTS}: its header claims"),
    "an archive": (raw(WEIGHTS, b"PK\x03\x04" + bytes(99)), Corrupt, f"{WEIGHTS}: its header claims"),
    "none": (without(WEIGHTS), Corrupt, "no weights"),
}

INDICES: dict[str, Case] = {
    "no JSON": (index("{"), Corrupt, f"{INDEX}: its JSON does not parse"),
    "empty": (index(""), Corrupt, f"{INDEX}: its JSON does not parse"),
    "no map": (index('{"weight_map": []}'), Corrupt, f"{INDEX}: it has no 'weight_map'"),
    "numbers": (index('{"weight_map": {"a": 5}}'), Corrupt, f"{INDEX}: it has no 'weight_map'"),
    "duplicate": (index('{"weight_map": {"a": "x", "a": "y"}}'), Corrupt, f"{INDEX}: the key 'a' occurs twice"),
    "upwards": (shards(lambda names: names.update({FIRST: "../x.safetensors"})), Corrupt, "'../x.safetensors', which"),
    "absolute": (shards(lambda names: names.update({FIRST: "/etc/passwd"})), Corrupt, f"{INDEX} names .*'/etc/passwd'"),
    "backslash": (shards(lambda names: names.update({FIRST: "..\\x"})), Corrupt, f"{INDEX} names the file"),
    "NUL": (shards(lambda names: names.update({FIRST: "a\0b"})), Corrupt, f"{INDEX} names the file"),
    "newline": (shards(lambda names: names.update({FIRST: "a\nb"})), Corrupt, f"{INDEX} names the file"),
    "long": (shards(lambda names: names.update({FIRST: "x" * 5000})), Corrupt, f"{INDEX} names the file"),
    "missing shard": (then(shards(), without(SHARDS[0])), Corrupt, f"{INDEX} names {SHARDS[0]}"),
    "extra shard": (then(shards(), raw("more.safetensors", b"")), Corrupt, "does not name more.safetensors"),
    "wrong shard": (shards(lambda names: names.update({FIRST: SHARDS[1]})), Corrupt, f"holds '{FIRST}'"),
    "unnamed tensor": (shards(lambda names: names.pop(FIRST)), Corrupt, f"{SHARDS[0]}: it holds '{FIRST}'"),
    "tensor too many": (shards(lambda names: names.update({"x": SHARDS[0]})), Corrupt, "holds 'x', which it does not"),
}

CONFIGS: dict[str, Case] = {
    "empty": (raw("config.json", ""), Corrupt, "config.json is not valid JSON"),
    "a list": (raw("config.json", "[]"), Corrupt, "config.json is not a JSON object"),
    "a pickle": (raw("config.json", b"\x80\x04\x95."), Corrupt, "config.json is not valid JSON"),
    "deep": (raw("config.json", "[" * 99_999), Corrupt, "config.json is not valid JSON"),
    "deeper than sense": (config(a=eval("[" * 150 + "]" * 150)), Corrupt, "config.json is nested more than"),
    "duplicate": (
        raw("config.json", '{"vocab_size": 320, "vocab_size": 1}'),
        Corrupt,
        "config.json is not valid JSON .*'vocab_size' occurs",
    ),
    "missing": (without("config.json"), Corrupt, "no config.json"),
    "layers negative": (config(num_hidden_layers=-1), Corrupt, "config.json: num_hidden_layers is -1"),
    "layers more": (config(num_hidden_layers=3), Corrupt, "num_hidden_layers is 3, but the weights have no layer 2"),
    "layers fewer": (config(num_hidden_layers=1), Corrupt, "num_hidden_layers is 1, but the weights have a layer 1"),
    "layers 1e9": (config(num_hidden_layers=10**9), Corrupt, "num_hidden_layers is 1000000000, but the weights have"),
    "layers 1e30": (config(num_hidden_layers=10**30), Corrupt, "config.json: num_hidden_layers is 1000"),
    "layers 1e5000": (raw("config.json", '{"n_layer": 1' + "0" * 5000 + "}"), Corrupt, "config.json is not valid JSON"),
    "layers a text": (config(num_hidden_layers="2"), Corrupt, "num_hidden_layers is '2', which is not a whole number"),
    "layers a fraction": (config(num_hidden_layers=2.5), Corrupt, "num_hidden_layers is 2.5"),
    "layers NaN": (config(num_hidden_layers=np_nan), Corrupt, "config.json .*a number is NaN"),
    "layers nested": (config(text_config={"num_hidden_layers": 7}), Corrupt, "num_hidden_layers is 7, but"),
    "layers true": (config(num_hidden_layers=True), Corrupt, "num_hidden_layers is True"),
    "vocabulary": (config(vocab_size=300), Corrupt, f"vocab_size is 300, but {FIRST} has 320 rows"),
    "vocabulary 0": (config(vocab_size=0), Corrupt, "vocab_size is 0, and must be positive"),
    "heads 0": (config(num_attention_heads=0), Corrupt, "num_attention_heads is 0, and must be positive"),
    "hidden size": (config(hidden_size=128), Corrupt, f"hidden_size is 128, but {FIRST} has 64 columns"),
    "heads": (config(num_attention_heads=8), Corrupt, "num_attention_heads is 8, but .*o_proj.weight has 64 columns"),
    "kv heads": (config(num_key_value_heads=4), Corrupt, "num_key_value_heads is 4, but .*k_proj.weight has 32 rows"),
    "head size": (config(head_dim=32), Corrupt, "but .*o_proj.weight has 64 columns, of 32 for each head"),
    "context": (config(max_position_embeddings=-5), Corrupt, "max_position_embeddings is -5"),
    "context huge": (config(max_position_embeddings=10**30), Corrupt, "max_position_embeddings is 1000"),
    "tied": (config(tie_word_embeddings=False), Corrupt, "tie_word_embeddings is False, but the weights have no"),
    "tied a text": (config(tie_word_embeddings="yes"), Corrupt, "tie_word_embeddings is 'yes'"),
    "end too large": (config(eos_token_id=320), Corrupt, "eos_token_id is 320, but the model has 320 tokens"),
    "architecture": (config(architectures=[{"a": 1}]), Corrupt, "architectures is .*, which is not a name"),
    "type": (config(model_type="x\ny"), Corrupt, "model_type is .*, which is not a name"),
    "not a number": (config(rope_theta=np_nan), Corrupt, "config.json .*a number is NaN"),
    "not a number in a list": (config(rope_scaling={"x": [np_nan]}), Corrupt, "config.json .*a number is NaN"),
}

AUTO_MAPS: dict[str, dict[str, Any]] = {
    "top": {"auto_map": {"AutoModel": "modeling_x.Model"}},
    "list": {"auto_map": {"AutoTokenizer": [None, "tokenization_x.Fast"]}},
    "deep": {"a": [{"b": {"auto_map": {"AutoModel": "m.M"}}}]},
}
CODE: dict[str, Case] = {
    "processor": (raw("processor_config.json", '{"auto_map": {"A": "p.P"}}'), Refused, "processor_config.json: auto"),
    "escaped": (raw("preprocessor_config.json", '{"auto\\u005fmap": {"A": "p.P"}}'), Refused, "preprocessor_config"),
    "elsewhere": (config(auto_map={"A": "c/d--m.M"}), Refused, "config.json: auto_map names code of another repo"),
    **{
        f"{file} {depth}": (edited(file, **place), Refused, f"{file}: auto_map names code of the repository")
        for file in ("config.json", "tokenizer_config.json", "generation_config.json")
        for depth, place in AUTO_MAPS.items()
    },
}

PICKLES: dict[str, Case] = {
    name: (raw(name, b"\x80\x04."), Refused, f"{name} is a pickle, and loading it can run code")
    for name in ("pytorch_model.bin", "x.pt", "x.pth", "x.ckpt", "x.pkl", "a.PICKLE", "x.joblib", "x.npy", "x.npz")
}

TOKENIZERS: dict[str, Case] = {
    "empty": (raw("tokenizer.json", ""), Corrupt, "tokenizer.json does not load"),
    "no JSON": (raw("tokenizer.json", b"\x80\x04\x95."), Corrupt, "tokenizer.json does not load"),
    "deep": (raw("tokenizer.json", "[" * 99_999), Corrupt, "tokenizer.json does not load"),
    "many lists": (raw("tokenizer.json", "[" + "[]," * 999_999 + "[]]"), Corrupt, "tokenizer.json does not load"),
    "merges of strangers": (
        tokenizer(model={"type": "BPE", "vocab": {"a": 0}, "merges": ["q z"]}),
        Corrupt,
        "tokenizer.json does not load",
    ),
    "merges of numbers": (
        tokenizer(model={"type": "BPE", "vocab": {"a": 0}, "merges": [1, 2]}),
        Corrupt,
        "tokenizer.json does not load",
    ),
    "larger than the embedding": (
        tokenizer(model={"type": "BPE", "vocab": {"a": 320}, "merges": []}),
        Corrupt,
        "tokenizer.json: token 'a' has the id 320, but the model has 320 tokens",
    ),
    "far larger": (
        tokenizer(model={"type": "BPE", "vocab": {"a": 2**32 - 1}, "merges": []}),
        Corrupt,
        "tokenizer.json: token 'a' has the id 4294967295",
    ),
    "negative": (
        tokenizer(model={"type": "BPE", "vocab": {"a": -1}, "merges": []}),
        Corrupt,
        "tokenizer.json does not load",
    ),
    "no pattern": (split("((("), Corrupt, "tokenizer.json does not load"),
    "pattern that backtracks": (split("^(([a-zA-Z ]+)+)+9$"), Corrupt, "tokenizer.json does not tokenize plain text"),
    "pattern for spaces": (split("( +)+x|(1|1)+y"), Corrupt, "tokenizer.json does not tokenize plain text"),
    "text bomb": (
        tokenizer(
            normalizer={
                "type": "Sequence",
                "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 100}] * 6,
            }
        ),
        Refused,
        "tokenizer.json exceeds its limits of a minute and 4 GB when it is loaded, tokenizes texts and decodes",
    ),
}

TEMPLATES: dict[str, Case] = {
    "classes": (template("{{ ''.__class__.__mro__[1].__subclasses__() }}" + PLAIN), Refused, "to leave its sandbox"),
    "globals": (template("{{ cycler.__init__.__globals__.os.popen('id').read() }}"), Refused, "to leave its sandbox"),
    "attr": (template("{{ (messages | attr('__class__')).mro() }}" + PLAIN), Refused, "to leave its sandbox"),
    "map": (
        template("{{ messages | map(attribute='__class__') | first | attr('mro') }}"),
        Refused,
        "to leave its sandbox",
    ),
    "format": (template("{{ '{0.__class__.__mro__}'.format(messages) }}" + PLAIN), Refused, "to leave its sandbox"),
    "function": (template("{{ raise_exception.__globals__['sys'].exit() }}"), Refused, "to leave its sandbox"),
    "include": (template("{% include '/etc/passwd' %}"), Corrupt, "renders no conversation"),
    "changes": (template("{{ messages.append(1) }}" + PLAIN), Corrupt, "(it calls 'append' of a list)"),
    "endless": (template(ENDLESS), Refused, "exceeds its limits of a few seconds"),
    "recursion": (template("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"), Corrupt, "renders no conversation"),
    "memory": (template("{{ 'x' * 9999999999 }}"), Refused, "exceeds its limits of a few seconds and 1 GB"),
    "doubling": (
        template("{% set n = namespace(x='x' * 999) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}"),
        Refused,
        "exceeds its limits of a few seconds and 1 GB",
    ),
    "text": (template("{% for a in range(99999) %}{{ 'x' * 9999 }}{% endfor %}"), Refused, "exceeds its limits"),
    "no Jinja": (template("{% for"), Corrupt, "tokenizer_config.json: the chat template 'default' does not parse"),
    "terminal": (
        template("{{ raise_exception('a\x1b[2J\nb' * 999) }}"),
        Corrupt,
        r"renders no conversation \(a \[2J b",
    ),
    "a number": (template(5), Corrupt, "tokenizer_config.json: chat_template is neither a string"),
    "many": (
        template([{"name": str(number), "template": "x"} for number in range(999)]),
        Refused,
        "tokenizer_config.json: the repository has 999 chat templates",
    ),
    "named": (
        template([{"name": "default", "template": PLAIN}, {"name": "tools", "template": "{{ ''.__class__.mro() }}"}]),
        Refused,
        "tokenizer_config.json: the chat template 'tools' tries to leave its sandbox",
    ),
    "file": (
        raw("chat_template.jinja", "{{ self.__init__.__globals__ }}"),
        Refused,
        "chat_template.jinja: the chat template 'default' tries to leave its sandbox",
    ),
    "file in a folder": (
        raw("additional_chat_templates/rag.jinja", "{{ x.__class__.__base__.__subclasses__() }}"),
        Refused,
        "additional_chat_templates/rag.jinja: the chat template 'rag' tries to leave its sandbox",
    ),
    "file of bytes": (raw("chat_template.jinja", b"\xff\xfe"), Corrupt, "chat_template.jinja is not UTF-8 text"),
    "JSON": (
        template_in_a_file_of_its_own("{% if %}"),
        Corrupt,
        "chat_template.json: .*does not parse",
    ),
    "settings empty": (raw("tokenizer_config.json", ""), Corrupt, "tokenizer_config.json is not valid JSON"),
    "settings deep": (
        raw("tokenizer_config.json", '{"a":' * 99_999),
        Corrupt,
        "tokenizer_config.json is not valid JSON",
    ),
}

CASES = {
    f"{group}: {name}": case
    for group, cases in {
        "weights": WEIGHT_FILES,
        "index": INDICES,
        "config": CONFIGS,
        "code": CODE,
        "pickle": PICKLES,
        "tokenizer": TOKENIZERS,
        "template": TEMPLATES,
    }.items()
    for name, case in cases.items()
}


@pytest.fixture(autouse=True)
def without_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    """This environment has no transformers; a test of the runtime torch runs the whole scan."""
    for name in ("needed code", "architecture"):
        monkeypatch.delitem(cast(dict[str, Checker], CHECKS), name)


@pytest.fixture(autouse=True)
def small_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts that run apart, with a part of their time and their memory."""
    for check, script in ((chat_template, "render_template.py"), (checked_tokenizer, "load_tokenizer.py")):
        source = check.SCRIPT.read_text()
        smaller = source.replace("CPU_SECONDS = 5\n", "CPU_SECONDS = 1\n").replace("4 * 1024**3", "1024**3 // 2")
        assert smaller != source
        (tmp_path / script).write_text(smaller)
        monkeypatch.setattr(check, "SCRIPT", tmp_path / script)


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    plant, error, message = CASES[case]
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path / "home"))
    folder, store = make_checkpoint(tmp_path / "snapshot"), LocalStore(tmp_path / "store")
    plant(folder)
    snapshot = keep(store, folder)
    spec = Spec(task="scan", parameters={"repository": "a/b", "commit": "0" * 40}, inputs={"snapshot": snapshot.key})
    with pytest.raises(TerminalError, match=message) as told:
        run(spec, store)
    assert type(told.value) is error
    sentence = str(told.value)
    assert sentence.isprintable() and sentence.endswith(".") and len(sentence) < 2000
    # The snapshot is there, which no later task takes without a scan; nothing of the attempt is.
    manifests = [item.name for item in store.list("artifacts/") if item.name.count("/") == 1]
    assert manifests == [f"artifacts/{snapshot.key}.json"]
    assert len(list(store.list("artifacts/"))) == 1 + len(snapshot.files)
    assert list((tmp_path / "home" / "scratch").iterdir()) == []
    cached = sum(path.stat().st_size for path in (tmp_path / "home" / "cache" / "blobs").iterdir())
    assert cached <= snapshot.size
