"""A secret is masked in every form in which a message may hold it, and kept only where it is needed."""

import base64
import io
import os
from urllib.parse import quote

import pytest

from tasks.errors import HallmarkError
from tasks.release.registry import open_registry
from tasks.secrets import Mask, MaskedStream, forget_secrets, plain_address
from tasks.source.hub_session import endpoint
from tasks.store.open import open_store

SECRETS = {
    "AWS_ACCESS_KEY_ID": "account:planted-key",
    "AWS_SECRET_ACCESS_KEY": "planted/store+=",
    "AWS_SESSION_TOKEN": "planted-session",
    "HF_TOKEN": "hf_planted",
    "MLFLOW_TRACKING_USERNAME": "someone",
    "MLFLOW_TRACKING_PASSWORD": "planted-registry",
    "MLFLOW_TRACKING_TOKEN": "planted-bearer",
}


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("name", sorted(SECRETS.keys() - {"MLFLOW_TRACKING_USERNAME"}))
def test_each_is_masked_as_it_is_in_an_address_and_as_a_value_in_code(name: str) -> None:
    value, mask = SECRETS[name], Mask()
    text = f"before {value} http://u:{quote(value, safe='')}@host {value!r} after"
    assert mask(text) == "before *** http://u:***@host '***' after"


def test_a_login_in_a_header_is_masked() -> None:
    header = base64.b64encode(b"someone:planted-registry").decode()
    assert Mask()(f"Authorization: Basic {header}") == "Authorization: Basic ***"


def test_what_was_forgotten_is_still_masked() -> None:
    mask = Mask()
    forget_secrets([])
    assert mask("hf_planted") == "***"


def test_words_are_not_masked_for_a_short_value_or_a_key_that_is_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "hallmark")
    assert Mask()("a day of hallmark") == "a day of hallmark"


def test_without_secrets_a_text_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.delenv(name)
    assert Mask()("someone planted") == "someone planted"


def test_a_stream_is_masked_and_otherwise_itself() -> None:
    kept = io.StringIO()
    stream = MaskedStream(kept, Mask())
    print("hf_planted", 1, file=stream)
    stream.writelines(["x\n", "planted-session\n"])
    assert kept.getvalue() == "*** 1\nx\n***\n" and not stream.closed


@pytest.mark.parametrize(
    ("access", "kept"),
    [
        ([], set()),
        (["hub"], {"HF_TOKEN"}),
        (["registry"], {name for name in SECRETS if name.startswith(("AWS", "MLFLOW"))}),
    ],
)
def test_a_task_keeps_what_its_definition_names(access: list[str], kept: set[str]) -> None:
    forget_secrets(access)
    assert SECRETS.keys() & os.environ.keys() == kept


@pytest.mark.parametrize(
    ("setting", "open_it"),
    [
        ("HF_ENDPOINT", endpoint),
        ("MLFLOW_TRACKING_URI", open_registry),
        ("AWS_ENDPOINT_URL_S3", lambda: open_store("s3://bucket")),
        ("HALLMARK_STORE", open_store),
    ],
)
@pytest.mark.parametrize("scheme", ["https://", "https:/", "https://[", ""])
@pytest.mark.parametrize("login", ["user:planted-password", "user:planted-password/x"])
def test_a_login_in_an_address_is_refused_and_not_repeated(
    setting: str, open_it: object, scheme: str, login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = scheme.replace("https", "s3") if setting == "HALLMARK_STORE" else scheme
    monkeypatch.setenv(setting, f"{scheme}{login}@host.test/path")
    with pytest.raises(HallmarkError, match=rf"^{setting} contains a login in its address") as refused:
        assert callable(open_it) and open_it()
    assert "planted-password" not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    ["file:///srv/store@2", "file:/srv/store@2", "https://host:8443/a@b", "https://[::1]:80/a@b", "https://host/@b"],
)
def test_a_sign_in_a_path_is_no_login(address: str) -> None:
    assert plain_address(address, "HALLMARK_STORE", "elsewhere") == address


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxys_login_is_masked(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"{scheme}team:way%40out@proxy.test:3128")
    header = base64.b64encode(b"team:way@out").decode()
    said = f"no answer from {scheme}team:way%40out@proxy.test:3128 for 'way@out', Basic {header}"
    assert Mask()(said) == f"no answer from {scheme}team:***@proxy.test:3128 for '***', Basic ***"


def test_those_keep_the_proxy_that_go_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.test:3128")
    forget_secrets(["hub"])
    assert "https_proxy" in os.environ
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/run/token")
    forget_secrets([])
    assert "https_proxy" in os.environ
    monkeypatch.delenv("AWS_WEB_IDENTITY_TOKEN_FILE")
    forget_secrets([])
    assert "https_proxy" not in os.environ
