"""The rows and token ids of a GGUF file by llama.cpp's own server."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

START_SECONDS = 60


class Server:
    """A running server; `address` is its own."""

    def __init__(self, address: str) -> None:
        self.address = address

    def rows(self, tokens: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return log-probabilities [windows, tokens, vocabulary]: the server predicts one token behind each prefix.

        The last row of a window is NaN: no known token follows it, and the server may have no room for one.

        It reports no probabilities if the predicted token ends within a character, so it is made to predict one letter.
        The probabilities are those before that: the server takes them from the logits.
        """
        letter = self.cut("a")[-1]
        (model,) = self.ask("/v1/models")["data"]
        vocabulary = model["meta"]["n_vocab"]
        found = np.full((*tokens.shape, vocabulary), np.nan)
        for window, ids in enumerate(tokens.tolist()):
            for place in range(len(ids) - 1):
                asked = {"prompt": ids[: place + 1], "n_predict": 1, "n_probs": vocabulary, "cache_prompt": True}
                answer = self.ask("/completion", {**asked, "temperature": 0, "logit_bias": [[letter, 1e6]]})
                for one in answer["completion_probabilities"][0]["top_logprobs"]:
                    found[window, place, one["id"]] = one["logprob"]
        return found

    def cut(self, text: str) -> Sequence[int]:
        """Return the ids of a text: special tokens are parsed, none is added."""
        ids: Sequence[int] = self.ask("/tokenize", {"content": text, "add_special": False, "parse_special": True})[
            "tokens"
        ]
        return ids

    def ask(self, path: str, body: Any = None) -> Any:
        """Return the answer to one request."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())


@contextmanager
def serving(program: Path, folder: Path, log: Path) -> Iterator[Server]:
    """Run the server on the folder's GGUF file, with the file's own context and one thread."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (file,) = folder.glob("*.gguf")
    command = [str(program), "--model", str(file), "--host", "127.0.0.1", "--port", str(port), "--parallel", "1"]
    # With flash attention it sums values in float16 where it reads one token at a time.
    command += ["--threads", "1", "--threads-batch", "1", "--no-warmup", "--flash-attn", "off"]
    # Weights that are packed for AMX end the program if keys are latent, as in DeepSeek-V2.
    command += ["--no-repack"] if b".attention.key_length_mla" in file.read_bytes() else []
    server = Server(f"http://127.0.0.1:{port}")
    with log.open("wb") as written, subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT) as process:
        try:
            _wait(server, process, log)
            yield server
        finally:
            process.terminate()


def _wait(server: Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(server.address + "/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise AssertionError(f"llama-server did not start:{os.linesep}{log.read_text(errors='replace')[-2000:]}")
