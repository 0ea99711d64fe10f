"""Reads a repository of the Hub at one commit, with the Hub's client: its facts, and its files' sizes and digests."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote

import httpx2
from huggingface_hub import HfApi, ModelCardData, hf_hub_url, hf_raise_for_status
from huggingface_hub.hf_api import ModelInfo
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # not in its stub of exports

from tasks.errors import Corrupt, HubUnavailable
from tasks.hub_name import is_repository
from tasks.retry import Progress
from tasks.source.hub_errors import explain
from tasks.source.hub_retry import HUB_FAILURES, retry_hub
from tasks.source.hub_session import endpoint, hub_session

COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
ADDRESS = re.compile(r"https?://[^/]+/(?P<repository>[^/]+/[^/]+)/(blob|resolve|raw)/[^/]+/")
"""How the address of a file on the Hub begins."""
MISREAD = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")
"""Control characters, line ends, marks that reverse the reading direction, and lone surrogates. Unusual spaces are
allowed, because macOS puts one into the names of screenshots.
"""

NAME_BYTES = 255
"""The longest file name that the file systems of Linux and macOS accept."""

PLAIN = {"Accept-Encoding": "identity"}
"""Asks for uncompressed bytes: a compressed answer may unpack to a thousand times its size."""

ANSWER_SECONDS = 30.0
"""How long the Hub may take to answer a request, or to send the next bytes of a file."""


@dataclass(frozen=True)
class HubFile:
    """A file at a commit: path, size in bytes, git's blob id, and the sha256 if it is in the large-file store."""

    path: str
    size: int
    blob_id: str
    sha256: str | None

    @property
    def digest(self) -> str:
        """The digest that its bytes must have: sha256 where there is one, else git's sha1."""
        return self.sha256 or self.blob_id


@dataclass(frozen=True)
class HubRepository:
    """A repository at one commit.

    name: as the Hub spells it now. The Hub also answers to a former name and to other capital letters.
    licences: as its card names them, in lower case; a card may name several.
    licence_link: what the card's `license_link` says, an address or a path; None where it says nothing.
    licence_file: the path of the file that it names, if it is one of `files`.
    gated: False, or who grants access ("auto", "manual").
    last_modified: ISO 8601, or None where the Hub does not say.
    base_models: the models from which it was made, by its card.
    """

    name: str
    commit: str
    licences: tuple[str, ...]
    gated: str | bool
    private: bool
    last_modified: str | None
    base_models: tuple[str, ...]
    files: tuple[HubFile, ...]
    licence_link: str | None = None
    licence_file: str | None = None

    @property
    def licence(self) -> str | None:
        """All licences as one text, None where the card names none."""
        return ", ".join(self.licences) or None

    def file(self, path: str) -> HubFile | None:
        """Return the file of that path, or None."""
        return next((file for file in self.files if file.path == path), None)


def read_repository(name: str, revision: str, progress: Progress) -> HubRepository:
    """Return the repository at the commit that `revision` names now.

    Raises NotFound, AccessDenied, RateLimited or HubUnavailable with one sentence on why, and Corrupt where a file's
    name would lead out of its folder or a file has no digest.
    """
    hub_session()
    api = HfApi(endpoint=endpoint(), library_name="hallmark", headers=PLAIN)

    def ask() -> HubRepository:
        try:
            info = api.model_info(name, revision=revision, files_metadata=True, timeout=ANSWER_SECONDS)
            return _repository(name, revision, info)
        except HUB_FAILURES:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            # The client does not check answers: a web page, or JSON of another form, ends up here.
            raise httpx2.DecodingError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error

    return retry_hub(ask, lambda error: explain(error, endpoint(), name, revision), progress)


def file_url(repository: HubRepository, file: HubFile) -> str:
    """Return the address of a file's bytes at the repository's commit."""
    return str(hf_hub_url(repository.name, file.path, revision=repository.commit, endpoint=endpoint()))


def request_headers() -> dict[str, str]:
    """Return the headers of every request for a file's bytes: the token, if any, and PLAIN."""
    return {**build_hf_headers(library_name="hallmark"), **PLAIN}


def check_access(repository: HubRepository, file: HubFile, progress: Progress) -> None:
    """Raise AccessDenied where the files may not be read. A gated repository's facts are public, its files are not."""

    def ask() -> httpx2.Response:
        response = hub_session().head(
            file_url(repository, file), headers=request_headers(), timeout=ANSWER_SECONDS, follow_redirects=False
        )
        hf_raise_for_status(response)
        return response

    retry_hub(ask, lambda error: explain(error, endpoint(), repository.name, repository.commit, file.path), progress)


def _repository(name: str, revision: str, info: ModelInfo) -> HubRepository:
    commit = info.sha or ""
    if not COMMIT.fullmatch(commit) or (COMMIT.fullmatch(revision) and commit != revision):
        raise HubUnavailable(
            f"{endpoint()} answered for {name} at {revision!r} with commit {commit!r}; try again later."
        )
    if not is_repository(info.id):
        raise HubUnavailable(f"{endpoint()} answered for {name} with the name {info.id!r}; try again later.")
    files = _files(info.id, info)
    link = next(iter(_texts(getattr(info.card_data, "license_link", None))), None)
    return HubRepository(
        name=info.id,
        commit=commit,
        licences=_licences(info.card_data, info.tags or []),
        gated=info.gated or False,
        private=bool(info.private),
        last_modified=info.last_modified.isoformat() if info.last_modified else None,
        base_models=_texts(getattr(info.card_data, "base_model", None)),
        files=files,
        licence_link=link,
        licence_file=_licence_file(link, (name, info.id), [file.path for file in files]),
    )


def _files(name: str, info: ModelInfo) -> tuple[HubFile, ...]:
    files: dict[str, HubFile] = {}
    for sibling in info.siblings or []:
        path, size = sibling.rfilename, sibling.size
        check_path(name, path)
        sha256 = sibling.lfs.sha256 if sibling.lfs else None
        # The digest becomes a file name on this host.
        known = SHA256.fullmatch(sha256) if sha256 else COMMIT.fullmatch(sibling.blob_id or "")
        if not known or not isinstance(size, int) or size < 0 or path in files:
            raise Corrupt(
                f"{endpoint()} lists {path!r} of {name} twice, or without its size or digest; report it to the Hub."
            )
        files[path] = HubFile(path=path, size=size, blob_id=sibling.blob_id or "", sha256=sha256)
    for path in files:
        for folder in PurePosixPath(path).parents:
            if folder.as_posix() in files:
                raise Corrupt(
                    f"{endpoint()} lists {folder.as_posix()!r} of {name}, which is both a file and a folder; "
                    "report it to the Hub."
                )
    return tuple(files[path] for path in sorted(files))


def check_path(repository: str, path: str) -> None:
    """Raise Corrupt for a path that could lead out of its folder, or that a terminal or a shell could misread."""
    parts = path.split("/")
    if "\\" in path or any(part in ("", ".", "..") for part in parts):
        raise Corrupt(f"{repository} names the file {path!r}, which could lead out of its folder; do not use it.")
    if MISREAD.search(path):
        raise Corrupt(
            f"{repository} names the file {path!r}, which a terminal or a shell could misread; do not use it."
        )
    if any(len(part.encode()) > NAME_BYTES for part in parts):
        raise Corrupt(
            f"{repository} names the file {path!r}, which is too long a name for file systems; do not use it."
        )


def _licences(card: ModelCardData | None, tags: list[str]) -> tuple[str, ...]:
    """The card's licences, or the tags' where the card has none. `other` stands for the name that the card gives."""
    named = _texts(getattr(card, "license", None)) or tuple(tag[8:] for tag in tags if tag.startswith("license:"))
    other = _texts(getattr(card, "license_name", None)) or ("other",)
    found = [name.lower() for licence in named for name in (other if licence.lower() == "other" else (licence,))]
    return tuple(dict.fromkeys(found))


def _licence_file(link: str | None, names: Sequence[str], paths: Sequence[str]) -> str | None:
    """The path that a card's `license_link` names: by itself, or at the end of an address of this repository.

    names: under which the Hub knows the repository. The same path in another one is another licence.
    """
    if link is None:
        return None
    address = ADDRESS.match(link.strip())
    if address and address["repository"].casefold() not in map(str.casefold, names):
        return None
    wanted = link.strip()[address.end() if address else 0 :].removeprefix("./")
    spellings = (wanted, unquote(wanted), unquote(re.sub(r"[?#].*", "", wanted)))
    return next((path for path in spellings if path in paths), None)


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,) if value else ()
    return tuple(str(item) for item in value) if isinstance(value, list) else ()
