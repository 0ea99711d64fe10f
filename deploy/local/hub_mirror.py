"""A mirror of the Hub for machines without the internet: the Hub's own read API over folders of models.

The official client works with it unchanged (`HF_ENDPOINT=http://127.0.0.1:8090`), errors included: a private or wrong
repository, a gated one, a wrong revision and a wrong file each answer with the Hub's status and `X-Error-Code`. A large
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
from urllib.parse import parse_qs, quote, urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploy.local import hub_card
from deploy.local.access_log import AccessLog
from deploy.local.hub_repository import HubFile, Repository, Revision, find, repositories

HOST = "127.0.0.1"
PAGE = 50
"""Files on one page of a tree's listing, as on the Hub; the next page's address is in the Link header."""


def _refuse(status: int, code: str, message: str) -> HTTPException:
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
        """The server as an ASGI application."""
        repository = "{owner}/{name}"
        routes = [
            Route("/healthz", self.health),
            Route("/api/models", self.models),
            Route(f"/api/models/{repository}", self.info),
            Route(f"/api/models/{repository}/revision/{{revision:path}}", self.info),
            Route(f"/api/models/{repository}/refs", self.refs),
            Route(f"/api/models/{repository}/commits/{{revision}}", self.commits),
            Route(f"/api/models/{repository}/paths-info/{{revision}}", self.paths_info, methods=["POST"]),
            Route(f"/api/models/{repository}/tree/{{revision}}", self.tree),
            Route(f"/api/models/{repository}/tree/{{revision}}/{{path:path}}", self.tree),
            Route(f"/{repository}/resolve/{{revision}}/{{path:path}}", self.resolve),
            Route(f"/cdn/{repository}/{{commit}}/{{path:path}}", self.cdn),
        ]
        # A page in a browser could otherwise reach the mirror under a name that it had made resolve to this address.
        hosts = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False)
        return Starlette(routes=routes, middleware=[hosts], exception_handlers={HTTPException: _explain})

    def health(self, request: Request) -> Response:
        """How many models there are."""
        return JSONResponse({"status": "ok", "models": len(repositories(self.roots))})

    def models(self, request: Request) -> Response:
        """The public models; `search` keeps those whose id contains it."""
        wanted = request.query_params.get("search", "").lower()
        shown = [
            found for found in repositories(self.roots) if wanted in found.id.lower() and not found.access().private
        ]
        return JSONResponse([_model(found, found.revisions()[0], request) for found in shown])

    def info(self, request: Request) -> Response:
        """A revision's facts and files, with sizes and digests when `blobs` is asked for."""
        repository = self._repository(request)
        return JSONResponse(_model(repository, _revision(repository, request), request))

    def refs(self, request: Request) -> Response:
        """Branches and the commits in which they end."""
        branches = [
            {"name": found.branch, "ref": f"refs/heads/{found.branch}", "targetCommit": found.commit}
            for found in self._repository(request).revisions()
            if found.branch
        ]
        return JSONResponse({"branches": branches, "tags": [], "converts": [], "pullRequests": []})

    def commits(self, request: Request) -> Response:
        """The commits of a branch, newest first; all on one page."""
        repository = self._repository(request)
        first = _revision(repository, request)
        older = [found for found in repository.revisions() if found.branch is None] if first.branch == "main" else []
        rows = [
            {
                "id": found.commit,
                "title": f"{len(found.files)} files",
                "message": "",
                "authors": [{"user": repository.id.split("/")[0]}],
                "date": _date(found.time),
            }
            for found in [first, *older]
        ]
        return JSONResponse(rows if request.query_params.get("p", "0") in ("0", "") else [])

    async def paths_info(self, request: Request) -> Response:
        """Entries of the paths in the form's field `paths`; those that do not exist are left out."""
        form = parse_qs((await request.body()).decode())
        return await run_in_threadpool(self._paths_info, request, [path.strip("/") for path in form.get("paths", [])])

    def _paths_info(self, request: Request, paths: list[str]) -> Response:
        revision = _revision(self._repository(request), request)
        entries = [entry for entry in _entries(revision) if entry["path"] in paths]
        return JSONResponse(entries)

    def tree(self, request: Request) -> Response:
        """Entries below a folder, `recursive` or only its own, a page at a time."""
        revision = _revision(self._repository(request), request)
        folder = request.path_params.get("path", "").strip("/")
        below = f"{folder}/" if folder else ""
        entries = [entry for entry in _entries(revision) if entry["path"].startswith(below)]
        if folder and not entries:
            raise _refuse(404, "EntryNotFound", f"{folder} does not exist on {request.path_params['revision']!r}")
        if request.query_params.get("recursive", "false").lower() not in ("true", "1"):
            entries = [entry for entry in entries if "/" not in entry["path"][len(below) :]]
        start = _whole_number(request.query_params.get("cursor", "0"))
        limit = max(1, _whole_number(request.query_params.get("limit", str(PAGE))))
        answer = JSONResponse(entries[start : start + limit])
        if start + limit < len(entries):
            following = request.url.include_query_params(cursor=start + limit)
            answer.headers["Link"] = f'<{following}>; rel="next"'
        return answer

    def resolve(self, request: Request) -> Response:
        """A file's bytes, whole or a range of them; for a large file the address that gives them."""
        repository = self._repository(request)
        access = repository.access()
        if access.gated and _token(request) not in access.tokens:
            known = "you are not in the authorized list" if _token(request) else "you must be authenticated"
            message = f"Access to model {repository.id} is restricted and {known}; ask for access on its page."
            raise _refuse(403 if _token(request) else 401, "GatedRepo", message)
        revision = _revision(repository, request)
        file = _file(revision, request)
        if not file.lfs:
            return FileResponse(file.source, headers=_facts(revision, file))
        place = f"/cdn/{repository.id}/{revision.commit}/{quote(file.path)}"
        signature = self._sign(f"{repository.id}/{revision.commit}/{file.path}")
        address = f"{str(request.base_url).rstrip('/')}{place}?{urlencode({'signature': signature})}"
        return RedirectResponse(address, status_code=302, headers=_facts(revision, file))

    def cdn(self, request: Request) -> Response:
        """A large file's bytes, for who has the address that `resolve` gave."""
        path = request.path_params
        signature = self._sign(f"{path['owner']}/{path['name']}/{path['commit']}/{path['path']}")
        if not hmac.compare_digest(signature.encode(), request.query_params.get("signature", "").encode()):
            raise HTTPException(403, "this address was not made by this server, or before its last start")
        repository = find(self.roots, f"{path['owner']}/{path['name']}")
        revision = repository.revision(path["commit"]) if repository else None
        if revision is None:
            raise HTTPException(404, "this revision is gone")
        file = _file(revision, request)
        # The client follows a redirect that stays on the host, and looks for the file's facts where that ends.
        return FileResponse(file.source, headers=_facts(revision, file))

    def _repository(self, request: Request) -> Repository:
        name = f"{request.path_params['owner']}/{request.path_params['name']}"
        repository, token = find(self.roots, name), _token(request)
        access = repository.access() if repository else None
        if repository is None or access is None or (access.private and token not in access.tokens):
            # As on the Hub, nobody learns whether a private repository exists; the anonymous are asked who they are.
            if token is None:
                raise _refuse(401, "RepoNotFound", "Invalid username or password.")
            raise _refuse(404, "RepoNotFound", "Repository not found")
        return repository

    def _sign(self, text: str) -> str:
        return hmac.new(self._signing_key, text.encode(), hashlib.sha256).hexdigest()


def _token(request: Request) -> str | None:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if kind.lower() == "bearer" else None


def _revision(repository: Repository, request: Request) -> Revision:
    name = request.path_params.get("revision", "main")
    revision = repository.revision(name)
    if revision is None:
        raise _refuse(404, "RevisionNotFound", f"Invalid rev id: {name}")
    return revision


def _file(revision: Revision, request: Request) -> HubFile:
    file = revision.file(request.path_params["path"])
    if file is None:
        raise _refuse(404, "EntryNotFound", "Entry not found")
    return file


def _facts(revision: Revision, file: HubFile) -> dict[str, str]:
    headers = {"X-Repo-Commit": revision.commit, "ETag": f'"{file.blob_id}"', "Accept-Ranges": "bytes"}
    if file.lfs:
        headers |= {"ETag": f'"{file.sha256}"', "X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
    return headers


def _whole_number(text: str) -> int:
    if not text.isdecimal():
        raise HTTPException(400, f"{text!r} is no whole number")
    return int(text)


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _asked(request: Request, name: str) -> bool:
    return request.query_params.get(name, "false").lower() in ("true", "1", "")


def _lfs(file: HubFile, digest_name: str) -> dict[str, Any]:
    return {digest_name: file.sha256, "size": file.size, "pointerSize": len(file.pointer)}


def _entries(revision: Revision) -> list[dict[str, Any]]:
    """Files and folders of a revision as the tree's rows, by path."""
    rows: dict[str, dict[str, Any]] = {}
    for file in revision.files:
        row: dict[str, Any] = {"type": "file", "oid": file.blob_id, "size": file.size, "path": file.path}
        rows[file.path] = row | ({"lfs": _lfs(file, "oid")} if file.lfs else {})
        for parent in list(Path(file.path).parents)[:-1]:
            folder = parent.as_posix()
            oid = hashlib.sha1(f"{revision.commit}/{folder}".encode(), usedforsecurity=False).hexdigest()
            rows[folder] = {"type": "directory", "oid": oid, "size": 0, "path": folder}
    return [rows[path] for path in sorted(rows)]


def _model(repository: Repository, revision: Revision, request: Request) -> dict[str, Any]:
    """What the Hub says of a model; a field that it leaves out when it knows nothing is left out."""
    card = hub_card.front_matter(revision)
    access = repository.access()
    siblings: list[dict[str, Any]] = []
    for file in revision.files:
        sibling: dict[str, Any] = {"rfilename": file.path}
        if _asked(request, "blobs"):
            sibling |= {"size": file.size, "blobId": file.blob_id}
            sibling |= {"lfs": _lfs(file, "sha256")} if file.lfs else {}
        siblings.append(sibling)
    told: dict[str, Any] = {
        "_id": hashlib.sha1(repository.id.encode(), usedforsecurity=False).hexdigest()[:24],
        "id": repository.id,
        "modelId": repository.id,
        "author": repository.id.split("/")[0],
        "sha": revision.commit,
        "lastModified": _date(revision.time),
        "createdAt": _date(revision.time),
        "private": access.private,
        "gated": access.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": hub_card.tags(card),
        "siblings": siblings,
        "usedStorage": sum(file.size for file in revision.files),
        "config": hub_card.config(revision),
    }
    if card:
        told["cardData"] = card
    told |= {key: card[key] for key in ("pipeline_tag", "library_name") if key in card}
    if (safetensors := hub_card.parameters(revision)) is not None:
        told["safetensors"] = safetensors
    if _asked(request, "securityStatus"):
        # Nobody scans files here, and that is what is said.
        told["securityRepoStatus"] = {"scansDone": False, "filesWithIssues": []}
    return told


class RequestLog:
    """ASGI filter that logs `{"time", "method", "path", "repository", "file", "range", "status", "sent", "seconds"}`.

    `sent` is bytes of the body. `file` is null where the answer is not a file's content.
    """

    def __init__(self, app: ASGIApp, log: AccessLog) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and log it when its answer has ended, cut short or not."""
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
            # The router leaves what it matched in the scope.
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
    """The mirror of `roots` with its log of requests."""
    return RequestLog(Mirror(roots).app(), AccessLog(access_log))


def _read_all(roots: Sequence[Path]) -> None:
    for repository in repositories(roots):
        repository.revisions()


def main(arguments: list[str] | None = None) -> None:
    """Serve until a signal ends it."""
    import uvicorn

    parser = argparse.ArgumentParser(prog="python -m deploy.local.hub_mirror", description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--root", type=Path, action="append", required=True, help="folder of OWNER/NAME folders")
    parser.add_argument("--access-log", type=Path, required=True, help="one JSON object for each request")
    options = parser.parse_args(arguments)
    app = application(options.root, options.access_log)
    # A client waits ten seconds for an answer, in which ten gigabytes are hashed: those here are hashed before.
    threading.Thread(target=_read_all, args=(options.root,), daemon=True).start()
    # No file to send is worth waiting for when the stack goes down.
    uvicorn.run(app, host=HOST, port=options.port, access_log=False, timeout_graceful_shutdown=2)


if __name__ == "__main__":
    main()
