"""Checks whether each component is ready, over its own protocol. A running process may not answer requests yet."""

import http.client
import json
from collections.abc import Mapping
from datetime import datetime

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as AwsCredentials

from deploy.local.credentials import Credentials
from deploy.local.programs import HEALTH_NAMES
from deploy.local.settings import BUCKET, HOST, StackSettings

SECONDS = 5
"""The time limit of one reply. On a busy machine Airflow's health page takes one or two seconds."""


class Readiness:
    """Checks the components of one stack."""

    def __init__(self, settings: StackSettings, credentials: Credentials) -> None:
        self._settings = settings
        self._credentials = credentials

    def missing(self, component: str, started: float) -> str | None:
        """Return what a component lacks, or None if it is ready.

        started: the start time of its process, in seconds since the epoch.
        """
        try:
            if component == "s3":
                self._signed_head()
            elif component == "hub":
                self._ask("hub", "/healthz")
            elif component == "mlflow":
                self._ask("mlflow", "/health")
            else:
                return self._airflow(component, started)
        except (OSError, ValueError) as error:
            return str(error)
        return None

    def _signed_head(self) -> None:
        signed = AWSRequest("HEAD", f"{self._settings.address('s3')}/{BUCKET}")
        keys = AwsCredentials(self._credentials.s3_access_key, self._credentials.s3_secret_key)
        S3SigV4Auth(keys, "s3", "us-east-1").add_auth(signed)
        self._ask("s3", f"/{BUCKET}", "HEAD", dict(signed.headers.items()))

    def _ask(self, service: str, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> bytes:
        """Return the body of a reply; raises OSError where there is no reply, or an error."""
        # http.client uses no proxy. A proxy of the environment cannot reach the loopback address.
        connection = http.client.HTTPConnection(HOST, getattr(self._settings.ports, service), timeout=SECONDS)
        try:
            connection.request(method, path, headers=dict(headers or {}))
            answer = connection.getresponse()
            if answer.status >= http.client.BAD_REQUEST:
                raise OSError(f"it replies {answer.status} {answer.reason}")
            return answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"its reply is not HTTP ({error})") from error
        finally:
            connection.close()

    def _airflow(self, component: str, started: float) -> str | None:
        health = json.loads(self._ask("airflow", "/api/v2/monitor/health"))
        if component == "airflow-api":
            status = health["metadatabase"]["status"]
            return None if status == "healthy" else f"its database is {status}"
        name = HEALTH_NAMES[component]
        heartbeat = health[name][f"latest_{name}_heartbeat"]
        # An older heartbeat belongs to the previous process, which may have stopped seconds ago.
        if heartbeat is None or datetime.fromisoformat(heartbeat).timestamp() < started:
            return "no heartbeat yet"
        status = health[name]["status"]
        return None if status == "healthy" else f"it is {status}"
