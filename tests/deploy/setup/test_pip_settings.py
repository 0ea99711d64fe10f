"""What pip was told reaches uv, and what uv was told stays."""

from pathlib import Path

import pytest

from deploy.setup.pip_settings import for_uv, parsed, uv_environment


def test_sections_in_pips_order() -> None:
    said = "global.index-url='a'\ninstall.index-url='b'\nglobal.cert='/ca.pem'\nfreeze.timeout='1'\n"
    assert parsed(said) == {"index-url": "b", "cert": "/ca.pem"}
    assert parsed(":env:.index-url='c'\n" + said)["index-url"] == "c"


def test_value_with_quotes_and_equals() -> None:
    assert parsed('global.proxy="http://u:p\'w@host/?a=b"\n') == {"proxy": "http://u:p'w@host/?a=b"}


def test_translation() -> None:
    pip = {"index-url": "mirror", "cert": "/ca.pem", "proxy": "proxy:3128", "default-timeout": "7"}
    made = uv_environment(pip, {"HOME": "/home/x"})
    assert made["UV_DEFAULT_INDEX"] == "mirror"
    assert made["SSL_CERT_FILE"] == "/ca.pem"
    assert made["ALL_PROXY"] == "proxy:3128"
    assert made["UV_HTTP_TIMEOUT"] == "7"
    assert made["HOME"] == "/home/x"


@pytest.mark.parametrize("own", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_uvs_own_settings_win(own: str) -> None:
    made = uv_environment({"index-url": "mirror", "cert": "/ca.pem"}, {own: "mine", "SSL_CERT_FILE": "/mine.pem"})
    assert made[own] == "mine"
    assert "mirror" not in made.values()
    assert made["SSL_CERT_FILE"] == "/mine.pem"


def test_without_settings_no_index_is_added() -> None:
    assert "UV_DEFAULT_INDEX" not in uv_environment({}, {})


def test_real_pip_is_asked(real_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = told-in-a-file\n")
    for variable in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    python = real_home / "envs" / "uv" / "bin" / "python"
    assert for_uv(python)["UV_DEFAULT_INDEX"] == "told-in-a-file"
