"""Links of the pages to files that are not in ``docs``.

On a forge, a page links to whatever is in the repository by a relative path. On the site, such a
file has a place below ``repository``: pages and pictures as they are, text as a page that shows it,
and a folder as a page that lists its files.
"""

import os
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

#: The folder of the pages, and the one on the site of everything else.
DOCS, REPOSITORY = "docs", "repository"
#: Blocks and spans of code: what looks like a link there is none.
CODE = re.compile(r"^(```+|~~~+).*?^\1\s*$|(`+)[^`](?:.*?[^`])??\2(?!`)", re.MULTILINE | re.DOTALL)
#: A Markdown link or picture, or an attribute of HTML, with a relative path.
LINK = re.compile(
    r"""(?P<before>\]\(|\b(?:src|href)=")(?P<path>(?![a-z]+:|[/#])[^)"\s#]+)(?P<rest>[#)"\s])"""
)
#: The languages of files that are shown as code.
LANGUAGES = {
    ".py": "python",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".toml": "toml",
    ".json": "json",
    ".txt": "text",
    ".cff": "yaml",
    "": "text",
}


@dataclass(frozen=True)
class Target:
    """What a link leads to.

    Args:
        path: its path in the repository, with ``/``.
        uri: the path that MkDocs knows it by; None for what the repository does not have.
    """

    path: str
    uri: str | None


class Links:
    """The places on the site of all that pages link to."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def target(self, path: str) -> Target:
        """The target at a path in the repository."""
        if path.startswith(f"{DOCS}/"):
            return Target(path, path.removeprefix(f"{DOCS}/"))
        file = self.root / path
        outside = path.startswith("..") or Path(path).is_absolute()
        if outside or not file.exists():
            return Target(path, None)
        if file.is_dir():
            return Target(path, f"{REPOSITORY}/{path}/index.md")
        ending = ".md" if file.suffix in LANGUAGES else ""
        return Target(path, f"{REPOSITORY}/{path}{ending}")

    def source(self, uri: str) -> str:
        """The path in the repository of a page that is written by hand."""
        if uri.startswith(f"{REPOSITORY}/"):
            return uri.removeprefix(f"{REPOSITORY}/")
        return f"{DOCS}/{uri}"

    def found(self, text: str, page: str) -> Iterable[Target]:
        """The targets of all relative links in a page; ``page`` is its path in the repository."""
        return [self._resolved(match["path"], page) for match in LINK.finditer(without_code(text))]

    def rewrite(self, text: str, page: str, uri: str) -> str:
        """The text of a page with links that hold on the site, where its path is ``uri``."""

        def replaced(match: re.Match[str]) -> str:
            target = self._resolved(match["path"], page)
            if target.uri is None:
                return match[0]  # MkDocs tells of it
            link = posixpath.relpath(target.uri, posixpath.dirname(uri) or ".")
            # MkDocs resolves the links of Markdown, and leaves those of HTML as they are.
            if match["before"] != "](" and link.endswith(".md"):
                link = f"{link.removesuffix('.md')}.html"
            return f"{match['before']}{quote(link)}{match['rest']}"

        parts, end = [], 0
        for code in CODE.finditer(text):
            parts += [LINK.sub(replaced, text[end : code.start()]), code[0]]
            end = code.end()
        return "".join([*parts, LINK.sub(replaced, text[end:])])

    def shown(self, target: Target) -> str | None:
        """The Markdown of a page that shows a text or a folder; None for pages and pictures."""
        file = self.root / target.path
        hidden = "---\nsearch:\n  exclude: true\n---\n\n"
        if file.is_dir():
            # The folders in it are named alone: linked, all that they hold would be on the site.
            lines = [
                f"- {path.name}/" if path.is_dir() else f"- [{path.name}]({quote(path.name)})"
                for path in listed(file)
            ]
            return f"{hidden}# {target.path}\n\n" + "\n".join(lines) + "\n"
        if file.suffix not in LANGUAGES:
            return None
        fence = "`" * 4
        language = LANGUAGES[file.suffix]
        text = file.read_text().rstrip("\n")
        return f"{hidden}# {target.path}\n\n{fence}{language}\n{text}\n{fence}\n"

    def _resolved(self, link: str, page: str) -> Target:
        path = posixpath.join(posixpath.dirname(page), unquote(link))
        return self.target(posixpath.normpath(path))


def without_code(text: str) -> str:
    """The text without its blocks and spans of code."""
    return CODE.sub("", text)


def listed(folder: Path) -> list[Path]:
    """What a folder holds, without what is hidden or made from it."""
    names = sorted(os.listdir(folder))
    return [folder / name for name in names if name[0] not in "._" and (folder / name).exists()]
