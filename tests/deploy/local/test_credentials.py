"""Secrets are made once, differ between installations, and are their owner's alone."""

import json
import stat
import traceback
from pathlib import Path

import pytest

from deploy.local.credentials import load_credentials, make_credentials
from deploy.local.programs import Program
from deploy.local.settings import StackError, StackPaths


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_they_are_made_once_and_nobody_else_reads_them(tmp_path: Path) -> None:
    paths = StackPaths(tmp_path / "stack")
    made = make_credentials(paths)
    assert make_credentials(paths) == made == load_credentials(paths)
    assert (mode(paths.root), mode(paths.credentials), mode(paths.passwords)) == (0o700, 0o600, 0o600)
    assert json.loads(paths.passwords.read_text()) == {"admin": made.airflow_password}
    assert len(set(made.model_dump().values())) == len(made.model_dump())


def test_two_installations_share_no_secret(tmp_path: Path) -> None:
    first, second = (make_credentials(StackPaths(tmp_path / name)) for name in ("a", "b"))
    assert not set(first.model_dump().values()) & set(second.model_dump().values())


def test_missing_and_damaged_files_say_what_to_do(tmp_path: Path) -> None:
    paths = StackPaths(tmp_path / "stack")
    with pytest.raises(StackError, match="make up"):
        load_credentials(paths)
    make_credentials(paths)
    paths.credentials.write_text('{"s3_access_key": "x"}')
    with pytest.raises(StackError, match="damaged"):
        load_credentials(paths)


def test_they_are_not_shown_by_chance(tmp_path: Path) -> None:
    paths = StackPaths(tmp_path / "stack")
    made = make_credentials(paths)
    program = Program("s3", ("server",), "s3", made.model_dump())
    shown = f"{made} {made!r} {[made]} {program!r}"
    assert not [secret for secret in made.model_dump().values() if secret in shown]


def test_a_damaged_file_is_not_quoted(tmp_path: Path) -> None:
    paths = StackPaths(tmp_path / "stack")
    make_credentials(paths)
    for damage in ('{"s3_secret_key": "planted-secret"}', '{"s3_secret_key": "planted-secret'):
        paths.credentials.write_text(damage)
        with pytest.raises(StackError) as refused:
            load_credentials(paths)
        assert "planted-secret" not in "".join(traceback.format_exception(refused.value))
