"""Settings of the stack: strict, and an error names the file and the line."""

from pathlib import Path

import pytest

from deploy.local import settings
from deploy.local.credentials import make_credentials
from deploy.local.programs import programs
from deploy.local.settings import hub_of, stack_paths, stack_settings
from tasks.errors import InvalidRecipe
from tasks.pools import declared_pools
from tasks.runtimes import environments


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HALLMARK_ENVS", str(environments()))
    monkeypatch.setenv("HALLMARK_HOME", str(tmp_path))
    return tmp_path


def test_without_a_file_the_defaults_hold() -> None:
    chosen = stack_settings()
    assert chosen.address("airflow") == "http://127.0.0.1:8080"
    assert chosen.hub_address == "http://127.0.0.1:8090"


def test_a_port_and_the_hub_can_be_chosen(state: Path) -> None:
    (state / "settings.toml").write_text('[ports]\ns3 = 9001\n[stack]\nhub = "huggingface"\n[host]\ncores = 3\n')
    chosen = stack_settings()
    assert (chosen.ports.s3, chosen.ports.mlflow) == (9001, 5000)
    assert chosen.hub_address == "https://huggingface.co"


def test_one_setting_moves_the_whole_product_to_a_folder(state: Path) -> None:
    (state / "settings.toml").write_text('[stack]\nstore = "folder"\n')
    credentials = make_credentials(stack_paths())
    wanted = programs(stack_settings(), stack_paths(), credentials, declared_pools())
    assert "s3" not in {program.name for program in wanted} and len(wanted) == 6
    (mlflow,) = (program for program in wanted if program.name == "mlflow")
    assert f"file://{state}/store/mlflow" in mlflow.command
    for program in wanted:
        told = str((program.command, program.environment))
        assert "s3:" not in told and "AWS_" not in told and credentials.s3_secret_key not in told
        if program.name.startswith("airflow"):
            assert program.environment["HALLMARK_STORE"] == f"file://{state}/store"
            assert "AIRFLOW_CONN_HALLMARK_STORE" not in program.environment


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[ports]\nairflw = 1\n", "ports: there is no field 'airflw' .did you mean 'airflow'"),
        ("[ports]\nairflow = 70000\n", "ports.airflow"),
        ('[stack]\nhub = "elsewhere"\n', "hub"),
        ('[stack]\nstore = "elsewhere"\n', "store"),
        ("[ports]\nairflow = 9000\n", "airflow and s3 are both 9000"),
        ('stack = "s3"\n', "'stack' must be a table"),
        ("ports = 1\n", "'ports' must be a table"),
        ("[ports\n", "not valid TOML"),
        ("# \udcff", "not valid TOML"),
    ],
)
def test_nonsense_is_refused_by_name(state: Path, text: str, named: str) -> None:
    (state / "settings.toml").write_text(text, errors="surrogateescape")
    with pytest.raises(InvalidRecipe, match=named) as refused:
        stack_settings()
    assert str(state / "settings.toml") in str(refused.value)


def test_a_model_that_the_mirror_has_is_taken_from_there(state: Path) -> None:
    (state / "hub" / "acme" / "mine").mkdir(parents=True)
    assert hub_of("acme/mine") == "mirror"
    assert hub_of("acme/other") == "huggingface"
    assert settings.mirror_roots()[0] == state / "hub"
