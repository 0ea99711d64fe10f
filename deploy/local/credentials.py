"""The secrets of the stack. They are generated once per installation, in one file that only its owner can read."""

import base64
import json
import secrets

from pydantic import ValidationError

from deploy.local.private import private_folder, write_private
from deploy.local.settings import StackError, StackPaths
from tasks.model import Model

AIRFLOW_USER = "admin"


class Credentials(Model):
    """Every secret of one installation."""

    s3_access_key: str
    s3_secret_key: str
    airflow_password: str
    airflow_jwt_secret: str
    airflow_api_secret: str
    airflow_fernet_key: str

    def __repr_args__(self) -> tuple[()]:
        """Return nothing, so that neither repr nor str shows a secret in a message or a debugger."""
        return ()


def load_credentials(paths: StackPaths) -> Credentials:
    """Return the secrets; raises StackError where there are none yet or the file is damaged."""
    try:
        return Credentials.from_json(paths.credentials.read_bytes())
    except FileNotFoundError:
        raise StackError("The stack was never started here; run: make up") from None
    except ValidationError as error:
        raise StackError(
            f"{paths.credentials} is damaged ({error.errors()[0]['msg']}); delete {paths.root} to start from nothing, "
            "which also deletes runs and the registry."
        ) from None  # pydantic's own message quotes the file


def make_credentials(paths: StackPaths) -> Credentials:
    """Return the secrets; generate them where there are none."""
    private_folder(paths.root)
    if not paths.credentials.exists():
        made = Credentials(
            # Swift's users are named account:user; its S3 API takes that name for the access key.
            s3_access_key=f"hallmark:{secrets.token_hex(8)}",
            s3_secret_key=secrets.token_hex(24),
            airflow_password=secrets.token_urlsafe(12),
            airflow_jwt_secret=secrets.token_urlsafe(48),
            airflow_api_secret=secrets.token_urlsafe(32),
            airflow_fernet_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        )
        write_private(paths.credentials, made.to_json())
    credentials = load_credentials(paths)
    private_folder(paths.airflow)
    # Airflow reads the password as it is, and would add one of its own making for a user who has none.
    write_private(paths.passwords, json.dumps({AIRFLOW_USER: credentials.airflow_password}))
    return credentials
