"""A mirror of the Hub for machines without the internet: folders of models behind the part of the Hub's API that reads.

It answers what a release and `snapshot_download` ask: a revision's facts, its list of files, and their bytes. The
official client works with it unchanged (`HF_ENDPOINT=http://127.0.0.1:8090`), errors included: a wrong repository, a
wrong revision and a wrong file each get the Hub's status and `X-Error-Code`. Everybody may read everything. A large
file is answered by a redirect to an address that carries its own permission, as the Hub redirects to its CDN.

    python -m deploy.local.hub_mirror --port 8090 --root DIR [--root DIR ...] --access-log FILE
"""

import argparse
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploy.local.access_log import AccessLog
from deploy.local.hub_card import front_matter
from deploy.local.hub_repository import HubFile, Repository, Revision, find, repositories

HOST = "127.0.0.1"


def refuse(status: int, code: str, message: str) -> HTTPException:
    """Return the Hub's refusal: its status, its own code for the case, and the message."""
    return HTTPException(status, message, headers={"X-Error-Code": code, "X-Error-Message": message})


def _explain(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)


class Mirror:
    """The routes over `roots`; the first root that has a repository serves it."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = list(roots)
        # New at every start: an address that was handed out before is void.
        self._signing_key = secrets.token_bytes(32)

    def app(self) -> Starlette:
        """Return the server as an ASGI application."""
        repository = "{owner}/{name}"
        routes = [
            Route("/healthz", self.health),
            Route(f"/api/models/{repository}", self.info),
            Route(f"/api/models/{repository}/revision/{{revision:path}}", self.info),
            Route(f"/api/models/{repository}/tree/{{revision}}", self.tree),
            Route(f"/{repository}/resolve/{{revision}}/{{path:path}}", self.resolve),
            Route(f"/cdn/{repository}/{{commit}}/{{path:path}}", self.cdn),
        ]
        # Otherwise a web page could reach the mirror: its host name could resolve to this address (DNS rebinding).
        hosts = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False)
        return Starlette(routes=routes, middleware=[hosts], exception_handlers={HTTPException: _explain})

    def health(self, request: Request) -> Response:
        """Return the number of models."""
        return JSONResponse({"status": "ok", "models": len(repositories(self.roots))})

    def info(self, request: Request) -> Response:
        """Return a revision's facts and files; with sizes and digests if `blobs` is asked for."""
        repository = self.repository(request)
        return JSONResponse(_model(repository, _revision(repository, request), request))

    def tree(self, request: Request) -> Response:
        """Every file of a revision; `snapshot_download` asks for it, and leaves out folders."""
        revision = _revision(self.repository(request), request)
        rows: list[dict[str, Any]] = []
        for file in revision.files:
            row: dict[str, Any] = {"type": "file", "oid": file.blob_id, "size": file.size, "path": file.path}
            rows.append(row | ({"lfs": _lfs(file, "oid")} if file.lfs else {}))
        return JSONResponse(rows)

    def resolve(self, request: Request) -> Response:
        """Return a file's bytes, or a range of them; for a large file, a redirect to the address that returns them."""
        repository = self.repository(request)
        revision = _revision(repository, request)
        file = _file(revision, request)
        if not file.lfs:
            return FileResponse(file.source, headers=_facts(revision, file))
        place = f"/cdn/{repository.id}/{revision.commit}/{quote(file.path)}"
        signature = self._sign(f"{repository.id}/{revision.commit}/{file.path}")
        address = f"{str(request.base_url).rstrip('/')}{place}?{urlencode({'signature': signature})}"
        return RedirectResponse(address, status_code=302, headers=_facts(revision, file))

    def cdn(self, request: Request) -> Response:
        """Return a large file's bytes, to a client that has the address from `resolve`."""
        path = request.path_params
        signature = self._sign(f"{path['owner']}/{path['name']}/{path['commit']}/{path['path']}")
        if not hmac.compare_digest(signature.encode(), request.query_params.get("signature", "").encode()):
            raise HTTPException(403, "this address was not made by this server, or it was made before the last start")
        repository = find(self.roots, f"{path['owner']}/{path['name']}")
        revision = repository.revision(path["commit"]) if repository else None
        if revision is None:
            raise HTTPException(404, "this revision is gone")
        file = _file(revision, request)
        # The client follows a redirect on the same host, and reads the file's facts from the last reply.
        return FileResponse(file.source, headers=_facts(revision, file))

    def repository(self, request: Request) -> Repository:
        """Return the repository that a request names; raises the Hub's refusal."""
        repository = find(self.roots, f"{request.path_params['owner']}/{request.path_params['name']}")
        if repository is None:
            raise unknown(request)
        return repository

    def _sign(self, text: str) -> str:
        return hmac.new(self._signing_key, text.encode(), hashlib.sha256).hexdigest()


def unknown(request: Request) -> HTTPException:
    """Return the Hub's refusal of a repository that is not there. It is another one for a client without a token."""
    if token_of(request) is None:
        return refuse(401, "RepoNotFound", "Invalid username or password.")
    return refuse(404, "RepoNotFound", "Repository not found")


def token_of(request: Request) -> str | None:
    """Return the token with which a client asks."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if kind.lower() == "bearer" else None


def _revision(repository: Repository, request: Request) -> Revision:
    name = request.path_params.get("revision", "main")
    revision = repository.revision(name)
    if revision is None:
        raise refuse(404, "RevisionNotFound", f"Invalid rev id: {name}")
    return revision


def _file(revision: Revision, request: Request) -> HubFile:
    file = revision.file(request.path_params["path"])
    if file is None:
        raise refuse(404, "EntryNotFound", "Entry not found")
    return file


def _facts(revision: Revision, file: HubFile) -> dict[str, str]:
    headers = {"X-Repo-Commit": revision.commit, "ETag": f'"{file.blob_id}"', "Accept-Ranges": "bytes"}
    if file.lfs:
        headers |= {"ETag": f'"{file.sha256}"', "X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
    return headers


def _lfs(file: HubFile, digest_name: str) -> dict[str, Any]:
    return {digest_name: file.sha256, "size": file.size, "pointerSize": len(file.pointer)}


def _model(repository: Repository, revision: Revision, request: Request) -> dict[str, Any]:
    """Return what the Hub says about a model. Fields that the Hub leaves out are left out too."""
    card = front_matter(revision)
    siblings: list[dict[str, Any]] = []
    for file in revision.files:
        sibling: dict[str, Any] = {"rfilename": file.path}
        if request.query_params.get("blobs", "false").lower() in ("true", "1", ""):
            sibling |= {"size": file.size, "blobId": file.blob_id}
            sibling |= {"lfs": _lfs(file, "sha256")} if file.lfs else {}
        siblings.append(sibling)
    told: dict[str, Any] = {
        "id": repository.id,
        "sha": revision.commit,
        "lastModified": datetime.fromtimestamp(revision.time, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "private": False,
        "gated": False,
        "siblings": siblings,
    }
    return told | ({"cardData": card} if card else {})


class RequestLog:
    """ASGI filter that logs `{"time", "method", "path", "repository", "file", "range", "status", "sent", "seconds"}`.

    `sent` is bytes of the body. `file` is null where the answer is not a file's content.
    """

    def __init__(self, app: ASGIApp, log: AccessLog) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and log it when its reply has ended, complete or not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, sent = time.time(), 0, 0

        async def counted(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)
            if message["type"] == "http.response.body" and scope["method"] != "HEAD":
                sent += len(message.get("body", b""))

        try:
            await self._app(scope, receive, counted)
        finally:
            # The router stores the matched parameters in the scope.
            path = scope.get("path_params", {})
            self._log.write(
                time=round(began, 3),
                method=scope["method"],
                path=scope["path"],
                repository=f"{path['owner']}/{path['name']}" if "owner" in path else None,
                file=path.get("path") if status in (200, 206) and "/api/" not in scope["path"] else None,
                range=dict(scope["headers"]).get(b"range", b"").decode() or None,
                status=status,
                sent=sent,
                seconds=round(time.time() - began, 4),
            )


def application(roots: Sequence[Path], access_log: Path) -> ASGIApp:
    """Return the mirror of `roots`, with its log of requests."""
    return RequestLog(Mirror(roots).app(), AccessLog(access_log))


def _read_all(roots: Sequence[Path]) -> None:
    for repository in repositories(roots):
        repository.revisions()


def main(arguments: list[str] | None = None) -> None:
    """Serve until a signal stops the server."""
    import uvicorn

    parser = argparse.ArgumentParser(prog="python -m deploy.local.hub_mirror", description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--root", type=Path, action="append", required=True, help="folder of OWNER/NAME folders")
    parser.add_argument("--access-log", type=Path, required=True, help="one JSON object for each request")
    options = parser.parse_args(arguments)
    app = application(options.root, options.access_log)
    # A client waits ten seconds for a reply, enough to hash ten gigabytes. So all files are hashed in advance.
    threading.Thread(target=_read_all, args=(options.root,), daemon=True).start()
    # When the stack stops, the mirror does not wait for transfers.
    uvicorn.run(app, host=HOST, port=options.port, access_log=False, timeout_graceful_shutdown=2)


if __name__ == "__main__":
    main()
