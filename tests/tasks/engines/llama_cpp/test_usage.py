import pytest

from tasks.engines.llama_cpp.usage import TWO_SETS, usage

FILES = ["MLmodel", "Tiny-F16.gguf"]


def test_the_server_is_started_on_the_file() -> None:
    server, python = usage("gguf-f16", FILES, {"rope": {"theta": 1e4, "original_context_length": 4096}}, "Once", None)
    assert server.title == "llama.cpp, as an HTTP server"
    assert server.lines.startswith("llama-server --model gguf-f16/Tiny-F16.gguf --port 8080\n")
    assert 'Llama("gguf-f16/Tiny-F16.gguf", flash_attn=True)' in python.lines


@pytest.mark.parametrize(("original", "size"), [(4096, 4096), (2000, 1792)])
def test_a_file_with_two_sets_of_rotary_factors_is_served_with_those_of_short_texts(original: int, size: int) -> None:
    facts = {"rope": {"original_context_length": original, "frequencies": TWO_SETS}}
    server, _ = usage("gguf-f16", FILES, facts, "Once", None)
    assert f"Tiny-F16.gguf --ctx-size {size} --port 8080" in server.lines
    assert f"for texts up to {size} tokens; only a larger --ctx-size is right for longer ones" in server.title


def test_an_original_length_below_every_context_gives_no_size() -> None:
    facts = {"rope": {"original_context_length": 200, "frequencies": TWO_SETS}}
    server, _ = usage("gguf-f16", FILES, facts, "Once", None)
    assert "--ctx-size" not in server.lines


@pytest.mark.parametrize(("compared", "size"), [(4608, 4608), (2500, 2304)])
def test_the_server_takes_no_more_context_than_was_compared(compared: int, size: int) -> None:
    server, _ = usage("gguf-f16", FILES, {"context_length": 131072}, "Once", compared)
    assert f"Tiny-F16.gguf --ctx-size {size} --port 8080" in server.lines
    assert server.title.endswith(f"(up to {size} tokens, as it was compared with the source; the file allows 131072)")


@pytest.mark.parametrize("compared", [None, 512, 1024, 100])
def test_the_file_decides_where_nothing_shorter_is_asked_for(compared: int | None) -> None:
    server, _ = usage("gguf-f16", FILES, {"context_length": 512}, "Once", compared)
    assert "--ctx-size" not in server.lines and "tokens" not in server.title


def test_two_sets_of_which_only_the_first_was_compared() -> None:
    rope = {"original_context_length": 4096, "frequencies": TWO_SETS}
    server, _ = usage("gguf-f16", FILES, {"rope": rope, "context_length": 131072}, "Once", 2048)
    assert "--ctx-size 2048 " in server.lines and "as it was compared" in server.title


@pytest.mark.parametrize(
    ("facts", "lines"),
    [
        ({"add_bos": True, "chats_open": False}, 2),
        ({"add_bos": True, "chats_open": True}, 1),
        ({"add_bos": False, "chats_open": False}, 1),
        # No template, or an artifact that was made before this was a fact.
        ({"add_bos": True}, 1),
    ],
)
def test_chats_without_bos_of_a_source_whose_texts_have_it_get_a_line(facts: dict[str, bool], lines: int) -> None:
    servers = [line for line in usage("gguf-f16", FILES, facts, "Once", None) if "server" in line.title]
    assert len(servers) == lines
    assert sum("add_bos_token=bool:false" in line.lines for line in servers) == lines - 1
    assert ("for texts" in servers[0].title) == (lines == 2)


def test_a_model_with_latent_attention_is_served_as_its_weights_are_stored() -> None:
    facts = {"add_bos": True, "chats_open": False, "latent_attention": True, "context_length": 4096}
    *servers, python = usage("gguf-f16", FILES, facts, "Once", 512)
    assert len(servers) == 2
    assert all("Tiny-F16.gguf --ctx-size 512 --no-repack " in server.lines for server in servers)
    assert python.title == "llama.cpp, from Python, on a processor without AMX"
    assert not any("--no-repack" in line.lines for line in usage("gguf-f16", FILES, {}, "Once", 512))


def test_a_model_with_recurrent_layers_is_served_one_request_after_the_other() -> None:
    facts = {"add_bos": True, "chats_open": False, "recurrent": True}
    *servers, _ = usage("gguf-f16", FILES, facts, "Once", None)
    assert len(servers) == 2
    assert all("Tiny-F16.gguf --parallel 1 " in server.lines for server in servers)
    assert not any("--parallel" in line.lines for line in usage("gguf-f16", FILES, {}, "Once", None))


@pytest.mark.parametrize(
    ("facts", "options"),
    [
        ({"chats_think": False}, " --reasoning off"),
        ({"chats_think": True}, " --reasoning on"),
        ({"chats_keep_thoughts": False}, " --no-reasoning-preserve"),
        ({"chats_think": False, "chats_keep_thoughts": False}, " --reasoning off --no-reasoning-preserve"),
        ({"chats_unlike": True}, ""),
    ],
)
def test_the_server_renders_chats_as_they_were_compared(facts: dict[str, bool], options: str) -> None:
    *servers, _ = usage("gguf-f16", FILES, {"add_bos": True, "chats_open": False, **facts}, "Once", None)
    assert len(servers) == 2
    for server, bos in zip(servers, ("", " --override-kv tokenizer.ggml.add_bos_token=bool:false"), strict=True):
        assert server.lines.startswith(f"llama-server --model gguf-f16/Tiny-F16.gguf{options}{bos} --port 8080\n")
