"""The Hugging Face hub: what is sent to it and fetched from it, each mistake in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from gan_lightning.utils.errors import ArgumentError, HubError, MissingPackageError, UserError

#: Files that are fetched; others, of whatever format, are not.
FILES = ("config.json", "model.safetensors")
COMMIT_MESSAGE = "Upload a generator of gan_lightning"


def fetch(
    repo_id: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
) -> Path:
    """The folder, in the hub's cache on this machine, with ``FILES`` of a repository.

    Raises:
        MissingPackageError: huggingface_hub is not installed.
        ArgumentError: this is not the name of a repository.
        HubError: there is no such repository, or the hub cannot be reached and it is not in the
            cache.
    """
    with _answers(f"{repo_id} cannot be fetched", repo_id) as hub:
        # In one call, so that both files are of one commit.
        folder = hub.snapshot_download(
            repo_id,
            allow_patterns=list(FILES),
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            library_name="gan_lightning",
        )
    return Path(folder)


def push(
    folder: Path,
    repo_id: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    private: bool | None = None,
    create_pr: bool = False,
    commit_message: str = COMMIT_MESSAGE,
) -> str:
    """Send the files of a folder to a repository, which is made if there is none.

    Returns the address of the commit.

    Raises:
        MissingPackageError: huggingface_hub is not installed.
        ArgumentError: this is not the name of a repository.
        HubError: the hub cannot be reached, or refuses.
    """
    with _answers(f"{repo_id} cannot be pushed to", repo_id) as hub:
        api = hub.HfApi(token=token, library_name="gan_lightning")
        # The hub answers with the full name, which has the user's.
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            revision=revision,
            create_pr=create_pr,
            commit_message=commit_message,
        )
    return str(commit.commit_url)


@contextmanager
def _answers(failed: str, repo_id: str) -> Iterator[ModuleType]:
    """huggingface_hub, whose errors inside become one line each."""
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise MissingPackageError(
            "the hub needs the package huggingface_hub: pip install 'gan-lightning[hub]'"
        ) from error
    try:
        yield huggingface_hub
    except UserError:
        raise
    except errors.HFValidationError as error:
        raise ArgumentError(
            f"{repo_id} is no folder here, and no name such as user/name on the hub"
        ) from error
    except Exception as error:
        # The hub, its HTTP client and its storage raise errors of many kinds.
        raise HubError(f"{failed}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    from huggingface_hub import constants, errors

    endpoint = constants.ENDPOINT
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.LocalTokenNotFoundError) or status == 401:
        return (
            f"{endpoint} does not know who asks, or has no such repository: log in with `hf auth "
            "login`, or set HF_TOKEN"
        )
    if isinstance(error, errors.GatedRepoError) or status == 403:
        return f"{endpoint} does not allow it"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{endpoint} has no such repository, or it is private"
    if isinstance(error, errors.RevisionNotFoundError):
        return "the repository has no such revision"
    if isinstance(error, errors.LocalEntryNotFoundError):
        if isinstance(error.__cause__, errors.HfHubHTTPError):
            return _reason(error.__cause__)
        if constants.HF_HUB_OFFLINE:
            return "HF_HUB_OFFLINE is set, and it is not in the cache"
        return f"{endpoint} cannot be reached, and it is not in the cache on this machine"
    if status is not None:
        return f"{endpoint} answered {status}"
    if isinstance(error, OSError) or "http" in type(error).__module__:
        return f"{endpoint} cannot be reached ({type(error).__name__})"
    return " ".join(str(error).split()) or type(error).__name__
