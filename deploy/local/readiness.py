"""Whether each component does its work, asked over its own protocol: a running process is not yet a service."""

import json
import urllib.error
import urllib.request
from datetime import datetime

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as AwsCredentials

from deploy.local.credentials import Credentials
from deploy.local.programs import HEALTH_NAMES
from deploy.local.settings import BUCKET, StackSettings

SECONDS = 5
"""How long one answer may take: on a busy machine Airflow's health page takes one or two."""

# A proxy set in the environment does not lead to the loopback address.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Readiness:
    """Asks the components of one stack."""

    def __init__(self, settings: StackSettings, credentials: Credentials) -> None:
        self._settings = settings
        self._credentials = credentials

    def missing(self, component: str, started: float) -> str | None:
        """Return what a component lacks, None when it is ready; `started` is its process's start in epoch seconds."""
        try:
            if component == "s3":
                self._signed_head()
            elif component == "hub":
                self._get("hub", "/healthz")
            elif component == "mlflow":
                self._get("mlflow", "/health")
            else:
                return self._airflow(component, started)
        except (OSError, ValueError) as error:
            return str(error)
        return None

    def _signed_head(self) -> None:
        address = f"{self._settings.address('s3')}/{BUCKET}"
        keys = AwsCredentials(self._credentials.s3_access_key, self._credentials.s3_secret_key)
        signed = AWSRequest("HEAD", address)
        S3SigV4Auth(keys, "s3", "us-east-1").add_auth(signed)
        request = urllib.request.Request(address, method="HEAD", headers=dict(signed.headers.items()))
        _DIRECT.open(request, timeout=SECONDS).close()

    def _get(self, service: str, path: str) -> bytes:
        with _DIRECT.open(self._settings.address(service) + path, timeout=SECONDS) as answer:
            return bytes(answer.read())

    def _airflow(self, component: str, started: float) -> str | None:
        health = json.loads(self._get("airflow", "/api/v2/monitor/health"))
        if component == "airflow-api":
            status = health["metadatabase"]["status"]
            return None if status == "healthy" else f"its database is {status}"
        name = HEALTH_NAMES[component]
        heartbeat = health[name][f"latest_{name}_heartbeat"]
        # A heartbeat from before is the last process's, which may have been stopped seconds ago.
        if heartbeat is None or datetime.fromisoformat(heartbeat).timestamp() < started:
            return "no heartbeat yet"
        status = health[name]["status"]
        return None if status == "healthy" else f"it is {status}"
