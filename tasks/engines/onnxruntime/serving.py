"""Serves an exported causal language model with onnxruntime, without torch.

A copy of this file travels with every ONNX artifact, so it imports nothing of this repository. It follows the protocol
`LoadedModel` of the module that travels beside it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from numpy.typing import NDArray
from tokenizers import Tokenizer

# Logits of one block: a vocabulary of 150,000 gives 111 tokens a block.
BLOCK_BYTES = 64 * 1024 * 1024
# More rows at once gain no speed on a processor, but cost attention scores of rows x context x heads.
BLOCK_ROWS = 256


class OnnxEngine:
    """One loaded artifact. Not for use by two threads at once."""

    name = f"onnxruntime {onnxruntime.__version__}"

    def __init__(self, folder: Path, threads: int) -> None:
        """Load `model.onnx` and its tokenizer."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.use_deterministic_compute = True
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        shapes = {given.name: given.shape for given in self._session.get_inputs()}
        self._takes_positions = "position_ids" in shapes
        # [batch, heads, past, width]: what is not symbolic is the shape of a cache that holds no token yet.
        self._caches = {name: shape for name, shape in shapes.items() if name.startswith("past_key_values.")}
        self._outputs = [given.name for given in self._session.get_outputs()]
        self.vocabulary_size = int(self._session.get_outputs()[0].shape[-1])
        config = _read_json(folder / "config.json")
        self.context_length = int(_setting(config, "max_position_embeddings", "n_positions", "max_seq_len") or 2**31)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        named = {**_read_json(folder / "special_tokens_map.json"), **_read_json(folder / "tokenizer_config.json")}
        end = _content(named.get("eos_token"))
        parts = (_read_json(folder / "generation_config.json"), config, config.get("text_config") or {})
        ends = [part.get("eos_token_id") for part in parts]
        ends.append(self._tokenizer.token_to_id(end) if end else None)
        self._ends = _flat(ends)
        self._chat = ChatTemplate.of(folder)

    @property
    def block_rows(self) -> int:
        """The most tokens of one call: the graph gives the logits after all of them."""
        return max(1, min(BLOCK_ROWS, BLOCK_BYTES // (4 * self.vocabulary_size)))

    @property
    def block_tokens(self) -> int:
        """The same: the graph computes rows that nobody asked for."""
        return self.block_rows

    def start(self, length: int) -> "_State":
        """Return the state of a fresh sequence."""
        return _State()

    def advance(self, state: "_State", token_ids: Sequence[int], last_only: bool = False) -> NDArray[np.float32]:
        """Read the next tokens and return logits [rows, vocabulary]."""
        rows: NDArray[np.float32] = self.read(state, np.asarray([token_ids], dtype=np.int64), last_only)[0]
        return rows

    def read(self, state: "_State", token_ids: NDArray[np.int64], last_only: bool = False) -> NDArray[np.float32]:
        """Read the next tokens of sequences of equal length and return logits [sequences, rows, vocabulary].

        token_ids: [sequences, tokens]. A state keeps the number of sequences with which it was first read.

        The cache goes from the graph's outputs to its inputs without a copy.
        """
        sequences, tokens = token_ids.shape
        total = state.length + tokens
        binding = self._session.io_binding()
        binding.bind_cpu_input("input_ids", token_ids)
        binding.bind_cpu_input("attention_mask", np.ones((sequences, total), dtype=np.int64))
        if self._takes_positions:
            positions = np.arange(state.length, total, dtype=np.int64)
            binding.bind_cpu_input("position_ids", np.tile(positions, (sequences, 1)))
        for index, (name, shape) in enumerate(self._caches.items()):
            past = state.cache[index] if state.cache else _empty(shape, sequences)
            binding.bind_ortvalue_input(name, past)
        for name in self._outputs:
            binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(binding)
        logits, *cache = binding.get_outputs()
        state.cache, state.length = cache, total
        found: NDArray[np.float32] = logits.numpy()
        return found[:, -1:] if last_only else found

    def ends(self, token: int) -> bool:
        """Return whether a configuration of the artifact names this token as an end of a text or a turn."""
        return token in self._ends

    def tokenize(self, text: str, add_special_tokens: bool = False) -> list[int]:
        """Return the ids of a text, special tokens parsed; `add_special_tokens` adds what the tokenizer adds."""
        return list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Return the text of ids without special tokens."""
        return str(self._tokenizer.decode(list(token_ids), skip_special_tokens=True))

    def render_chat(self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool) -> str | None:
        """Return the chat by the artifact's template, or None where it has none."""
        return self._chat.render(messages, add_generation_prompt) if self._chat else None

    def close(self) -> None:
        """Free the memory of the graph and its weights."""
        del self._session


@dataclass
class _State:
    """Sequences as far as they have been read: keys and values in the order of the graph's inputs, tokens of each."""

    cache: Sequence[Any] = ()
    length: int = 0


def _empty(shape: Sequence[Any], sequences: int) -> Any:
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros((sequences, shape[1], 0, shape[3]), dtype=np.float32))


class ChatTemplate:
    """A model's own chat template, run in jinja's sandbox with what transformers offers to templates."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
        self._template = environment.from_string(source)
        self._special_tokens = special_tokens

    @classmethod
    def of(cls, folder: Path) -> "ChatTemplate | None":
        """Return the template of a folder: chat_template.jinja, or the default one of tokenizer_config.json."""
        config = _read_json(folder / "tokenizer_config.json")
        source = config.get("chat_template")
        if isinstance(source, list):
            source = {entry["name"]: entry["template"] for entry in source}.get("default")
        if (folder / "chat_template.jinja").is_file():
            source = (folder / "chat_template.jinja").read_text(encoding="utf-8")
        if not source:
            return None
        named = {**_read_json(folder / "special_tokens_map.json"), **config}
        tokens = {key: _content(value) for key, value in named.items() if key.endswith("_token")}
        return cls(source, {key: value for key, value in tokens.items() if value is not None})

    def render(self, messages: Sequence[Mapping[str, Any]], add_generation_prompt: bool) -> str:
        """Return the chat as text."""
        return self._template.render(
            messages=list(messages),
            tools=None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            **self._special_tokens,
        )


class _Generation(Extension):
    """`{% generation %}`, with which templates mark the assistant's words for training, leaves them as they are."""

    tags = {"generation"}  # jinja declares it so

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return the body."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _content(value: Any) -> str | None:
    """A special token is a text, or a mapping with its `content`."""
    found = value.get("content") if isinstance(value, dict) else value
    return found if isinstance(found, str) else None


def _flat(named: Sequence[Any]) -> frozenset[int]:
    """Return the ids among ids, lists of ids and None; a negative one stands for no token."""
    flat = (one for some in named for one in (some if isinstance(some, list) else [some]))
    return frozenset(one for one in flat if one is not None and one >= 0)


def _setting(config: Mapping[str, Any], *names: str) -> Any:
    """Return the first of these settings that the configuration, or its part for text, has."""
    for part in (config, config.get("text_config") or {}):
        for name in names:
            if part.get(name) is not None:
                return part[name]
    return None


def _read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object, empty where there is no such file."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content


def open_engine(folder: Path, threads: int) -> OnnxEngine:
    """Load the artifact in `folder`."""
    return OnnxEngine(folder, threads)
