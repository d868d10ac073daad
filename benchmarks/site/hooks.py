"""MkDocs' events, which ``mkdocs.yml`` names.

Pages link to files outside of ``docs`` as they do on a forge; such files get a place on the site.
Equations become MathML, which browsers show without a script, in a font that comes with matplotlib.
"""

import logging
import re
import unicodedata
from contextlib import suppress
from html import unescape
from pathlib import Path
from typing import Any

import matplotlib as mpl
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from benchmarks.site.gallery import gallery
from benchmarks.site.links import DOCS, REPOSITORY, Links, Target

#: What other packages say of themselves at each build.
logging.getLogger("mkdocs.mkdocs_autorefs").setLevel(logging.WARNING)

#: Where a page has what a program makes, and the program.
GENERATED = {"<!-- gallery -->": gallery}
#: The font of equations, which few systems have, and its licence.
MATH_FONT = ("STIXGeneral.ttf", "LICENSE_STIX")
EQUATION = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)
BLACKBOARD = re.compile(r'<mi mathvariant="double-struck">([A-Z])</mi>')


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add every file that a page, or a page added here, links to outside of ``docs``."""
    fonts = Path(mpl.get_data_path()) / "fonts" / "ttf"
    for name in MATH_FONT:
        files.append(File.generated(config, f"fonts/{name}", abs_src_path=str(fonts / name)))
    links = _links(config)
    pages = {f"{DOCS}/{file.src_uri}": file.content_string for file in files.documentation_pages()}
    waiting = [*pages.items(), *_in_navigation(config, links)]
    while waiting:
        path, text = waiting.pop()
        for target in links.found(_filled(text), path):
            if target.uri is None or files.get_file_from_path(target.uri):
                continue
            if not target.uri.startswith(f"{REPOSITORY}/"):
                continue  # MkDocs tells of a page that docs lacks
            file = _file(target, links, config)
            files.append(file)
            if file.is_documentation_page():
                waiting.append((_base(target, links), file.content_string))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in what a program makes, and let links hold on the site."""
    links, uri = _links(config), page.file.src_uri
    source = links.source(uri)
    return links.rewrite(_filled(markdown), source, uri)


def on_page_content(html: str, **_: Any) -> str:
    """Turn equations into MathML."""
    return EQUATION.sub(_math, html)


def _math(equation: re.Match[str]) -> str:
    display = "inline" if equation["tag"] == "span" else "block"
    return BLACKBOARD.sub(_blackboard, convert(unescape(equation["tex"]), display=display))


def _blackboard(letter: re.Match[str]) -> str:
    """The letter with a double stroke itself; browsers no longer know the attribute."""
    for name in ("MATHEMATICAL DOUBLE-STRUCK", "DOUBLE-STRUCK"):
        with suppress(KeyError):
            return f"<mi>{unicodedata.lookup(f'{name} CAPITAL {letter[1]}')}</mi>"
    return letter[0]


def _links(config: MkDocsConfig) -> Links:
    return Links(Path(config.config_file_path).parent)


def _filled(text: str) -> str:
    for mark, make in GENERATED.items():
        if mark in text:
            text = text.replace(mark, make())
    return text


def _in_navigation(config: MkDocsConfig, links: Links) -> list[tuple[str, str]]:
    """A page that links to each page of the navigation outside of ``docs``."""
    uris = re.findall(rf"{REPOSITORY}/([^'\"]+\.md)", str(config.nav))
    return [("navigation", f"[page]({uri})") for uri in uris]


def _file(target: Target, links: Links, config: MkDocsConfig) -> File:
    assert target.uri is not None
    text = links.shown(target)
    if text is not None:
        return File.generated(config, target.uri, content=text)
    path = links.root / target.path
    return File.generated(config, target.uri, abs_src_path=str(path))


def _base(target: Target, links: Links) -> str:
    """The path that the links of an added page are relative to."""
    assert target.uri is not None
    return links.source(target.uri)
