"""A real S3 server in one process, without a container: OpenStack Swift's four servers behind its S3 API.

It keeps objects on disk, refuses wrong secrets and checksums, and supports multipart uploads, versions and presigned
addresses. Only the S3 port is a TCP port. The account, container and object servers ask for no credentials. They
therefore listen on unix sockets in the server's private folder, and Swift's connections are redirected to these.

    AWS_ACCESS_KEY_ID=hallmark:KEY AWS_SECRET_ACCESS_KEY=SECRET \\
        python -m deploy.local.s3_server --port 9000 --data DIR --bucket hallmark --access-log FILE

Its conditional writes are not atomic: two writers that send `If-None-Match: *` may both succeed.
"""

import argparse
import base64
import errno
import logging
import os
import secrets
import signal
import socket
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn

HOST = "127.0.0.1"
REGION = "us-east-1"
ROLES = {"account": 1, "container": 2, "object": 3}
"""Swift's back-end servers, each with the port number that stands for it in a ring. No such TCP port is opened."""

PIPELINE = (
    "catch_errors gatekeeper healthcheck cache listing_formats s3api tempauth copy slo dlo versioned_writes symlink "
    "proxy-server"
)

PROXY = """
[DEFAULT]
swift_dir = {etc}
log_custom_handlers = deploy.local.s3_server.log_to_stderr
log_level = WARNING

[pipeline:main]
pipeline = {pipeline}

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
# Swift's own limit of ten seconds is too short for a slow disk on a busy machine.
node_timeout = 60
recoverable_node_timeout = 60
conn_timeout = 10
client_timeout = 120
object_chunk_size = 1048576
client_chunk_size = 1048576

[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
paste.filter_factory = deploy.local.s3_filters:cache_factory
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = {region}
# Amazon's limit. With Swift's own limit of 1000, an upload in parts of 64 MB would end at 64 GB.
max_upload_part_num = 10000
[filter:tempauth]
use = egg:swift#tempauth
allow_overrides = true
user64_{account}_{user} = {secret} .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
max_manifest_segments = 10000
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
"""

BACKEND = """
[DEFAULT]
swift_dir = {etc}
devices = {devices}
mount_check = false
log_custom_handlers = deploy.local.s3_server.log_to_stderr
log_level = WARNING
disk_chunk_size = 1048576
network_chunk_size = 1048576

[app:main]
use = egg:swift#{role}
"""


def log_to_stderr(
    conf: Any, name: str, to_console: bool, route: str | None, fmt: str, logger: logging.Logger, adapted: Any
) -> None:
    """Swift's logging hook: it replaces syslog by one handler on standard error."""
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    stderr = logging.StreamHandler(sys.__stderr__)
    stderr.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(server)s: %(message)s"))
    logger.addHandler(stderr)


def render_proxy(etc: Path, access_key: str, secret_key: str) -> str:
    """Return the configuration of the proxy.

    Raises ValueError where `access_key` is not of the form `account:user`, as Swift's users are.
    """
    account, colon, user = access_key.partition(":")
    if not (account and colon and user):
        raise ValueError("AWS_ACCESS_KEY_ID must look like 'account:user' for this server: set it so")
    if not secret_key or secret_key.split() != [secret_key] or "%" in secret_key:
        raise ValueError("AWS_SECRET_ACCESS_KEY must be one word without '%': set it so")
    return PROXY.format(
        etc=etc, pipeline=PIPELINE, region=REGION, account=_base64(account), user=_base64(user), secret=secret_key
    )


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode().rstrip("=")


def prepare(data: Path) -> Path:
    """Create the data folder; return the folder of Swift's configuration.

    Raises OSError where the file system has no user attributes, in which Swift stores metadata.
    """
    etc = data / "etc"
    for folder in (data, etc, data / "disk"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        os.setxattr(data, "user.hallmark", b"1")
    except OSError as error:
        raise OSError(
            f"{data}: this file system has no user attributes, which the S3 server needs; "
            "set HALLMARK_HOME to a folder on ext4, xfs or btrfs"
        ) from error
    conf = etc / "swift.conf"
    if not conf.exists():
        # The suffix is part of every object's path on disk: it is made once and must never change.
        conf.write_text(
            f"[swift-hash]\nswift_hash_path_suffix = {secrets.token_hex(8)}\n"
            "[storage-policy:0]\nname = Policy-0\ndefault = yes\n"
        )
    return etc


def _rings(etc: Path) -> None:
    from swift.common.ring import RingBuilder

    for role, port in ROLES.items():
        path = etc / f"{role}.ring.gz"
        if path.exists():
            continue
        # 16 partitions are enough for one disk, and a listing walks fewer folders.
        builder = RingBuilder(part_power=4, replicas=1, min_part_hours=1)
        builder.add_dev({"region": 1, "zone": 1, "weight": 1, "ip": HOST, "port": port, "device": "disk"})
        builder.rebalance()
        temporary = path.with_suffix(".new")
        builder.get_ring().save(str(temporary))
        # Swift makes the file readable for everybody and ignores the umask.
        temporary.chmod(0o600)
        temporary.replace(path)


def _lead_connections_to_sockets(ports: dict[int, Path]) -> None:
    from swift.common import bufferedhttp

    class SocketConnection(bufferedhttp.BufferedHTTPConnection):  # type: ignore[misc]
        """A back-end connection over the unix socket that belongs to the ring's port."""

        def connect(self) -> None:
            self._connected_time = 0.0
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.connect(str(ports[self.port]))

    bufferedhttp.BufferedHTTPConnection = SocketConnection


def _listen_unix(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(128)
    return listener


def _listen_tcp(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OSError(f"port {port} of {HOST} is taken: choose another with --port") from error
        raise
    listener.listen(128)
    return listener


def _make_bucket(proxy: Any, account: str, bucket: str) -> None:
    from swift.common.wsgi import make_pre_authed_request

    request = make_pre_authed_request({"swift.infocache": {}}, "PUT", f"/v1/AUTH_{account}/{bucket}", swift_source="HM")
    response = request.get_response(proxy)
    if response.status_int not in (201, 202):
        raise OSError(f"the bucket {bucket} could not be created: {response.status}; see the S3 server's log")


def serve(port: int, data: Path, bucket: str, access_log: Path, access_key: str, secret_key: str) -> NoReturn:
    """Serve S3 on 127.0.0.1:`port` with the objects below `data`, until SIGTERM or SIGINT."""
    # eventlet is only maintained and warns about it at each start; Swift needs it.
    warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
    import eventlet

    eventlet.monkey_patch()
    import eventlet.wsgi
    from swift.common import utils
    from swift.common.http_protocol import SwiftHttpProtocol
    from swift.common.storage_policy import reload_storage_policies
    from swift.common.wsgi import ConfigString, loadapp

    from deploy.local.access_log import AccessLog
    from deploy.local.s3_filters import RequestLog

    data = data.resolve()
    access_log = access_log.resolve()
    os.umask(0o077)
    etc = prepare(data)
    # Sockets have relative names: an absolute path may exceed the 107 bytes that a socket's address holds.
    os.chdir(data)
    utils.set_swift_dir(str(etc))
    reload_storage_policies()
    _rings(etc)
    listener = _listen_tcp(port)
    _lead_connections_to_sockets({number: Path(f"{role}.sock") for role, number in ROLES.items()})

    def start(sock: socket.socket, app: Any) -> Any:
        # capitalize_response_headers: S3 clients look for "ETag", and eventlet would write "Etag".
        options = {"protocol": SwiftHttpProtocol, "log_output": False, "capitalize_response_headers": False}
        return eventlet.spawn(eventlet.wsgi.server, sock, app, socket_timeout=120, **options)

    for role in ROLES:
        conf = BACKEND.format(etc=etc, devices=data, role=role)
        start(_listen_unix(Path(f"{role}.sock")), loadapp(ConfigString(conf), global_conf={"log_name": role}))
    proxy = loadapp(ConfigString(render_proxy(etc, access_key, secret_key)), global_conf={"log_name": "s3"})
    _make_bucket(proxy, access_key.partition(":")[0], bucket)
    server = start(listener, RequestLog(proxy, AccessLog(access_log)))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    print(f"S3 on http://{HOST}:{port}, bucket {bucket}, objects in {data}", flush=True)
    server.wait()
    raise SystemExit("the S3 server stopped unexpectedly; see its log")


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the server with the key pair from the environment."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.s3_server", description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of the objects")
    parser.add_argument("--bucket", required=True, help="bucket that exists from the start")
    parser.add_argument("--access-log", type=Path, required=True, help="one JSON object for each request")
    options = parser.parse_args(arguments)
    try:
        key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    except KeyError as error:
        raise SystemExit(f"{error.args[0]} is not set: give the server its key pair in the environment") from None
    try:
        serve(options.port, options.data, options.bucket, options.access_log, key, secret)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
