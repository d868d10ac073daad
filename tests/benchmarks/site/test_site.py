"""The site: what is in its navigation, and that it builds without a warning."""

import os
import re
import subprocess
import sys

import pytest
import yaml

import gan_lightning
from benchmarks.protocol import ROOT
from gan_lightning import callbacks, data, metrics, networks

pytest.importorskip("mkdocs", reason="NOT TESTED: the extra docs is not installed")
pytest.importorskip("latex2mathml", reason="NOT TESTED: the extra docs is not installed")

from benchmarks.site import hooks

DOCS = ROOT / "docs"


class Loader(yaml.SafeLoader):
    """Reads a config whose tags name objects, which do not matter here."""


def pages(nav):
    """The pages of a navigation, in turn."""
    if isinstance(nav, str):
        return [nav]
    items = nav.values() if isinstance(nav, dict) else nav
    return [page for item in items for page in pages(item)]


@pytest.fixture(scope="module")
def config():
    return yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)


def test_every_page_is_in_the_navigation_and_there(config):
    named = pages(config["nav"])
    assert len(named) == len(set(named))
    written = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    outside = {name for name in named if name.startswith("repository/")}
    for name in outside:
        assert (ROOT / name.removeprefix("repository/")).is_file()
    assert set(named) - outside == written


def test_equations_become_mathml_without_a_script():
    html = hooks.on_page_content(
        r'<p><span class="arithmatex">\(\mathbb E_x[D(x) &lt; 1]\)</span></p>'
        r'<div class="arithmatex">\[\mathbb R\]</div>'
    )
    assert "arithmatex" not in html
    assert html.count("<math") == 2
    assert "<mi>\N{MATHEMATICAL DOUBLE-STRUCK CAPITAL E}</mi>" in html
    assert "<mi>\N{DOUBLE-STRUCK CAPITAL R}</mi>" in html
    assert 'display="block"' in html
    assert "&lt;" in html or "&#x0003C;" in html


def test_the_reference_has_all_public_names():
    text = {path.stem: path.read_text() for path in (DOCS / "api").glob("*.md")}
    shown = {
        name
        for page in text.values()
        for name in re.findall(r"^::: gan_lightning\.(\w+)$", page, re.MULTILINE)
    }
    modules = {"losses", "penalties", "regularizers", "augment", "networks", "data", "metrics"}
    modules |= {"callbacks", "grids"}
    assert shown == {*gan_lightning.__all__} | modules
    for module in (data, metrics, callbacks, networks):
        assert module.__all__


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", f"--site-dir={tmp_path}"],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=800,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    home = (tmp_path / "index.html").read_text()
    assert 'src="repository/benchmarks/results/digits/biggan-with-labels/seed0.png"' in home
    picture = tmp_path / "repository/benchmarks/results/digits/biggan-with-labels/seed0.png"
    assert picture.is_file()
    assert "<math" in (tmp_path / "techniques" / "wgan_gp.html").read_text()
    for name in ("GAN.critic_loss", "GAN.after_critic_step", "sampling.Sampling.sample"):
        assert f'id="gan_lightning.{name}"' in (tmp_path / "api" / "gan.html").read_text()
    # Whatever a browser would fetch by itself is on the site.
    fetched = re.compile(r'<(?:img|script|iframe)[^>]*\ssrc="([^"]+)"|<link[^>]*\shref="([^"]+)"')
    for page in tmp_path.rglob("*.html"):
        for urls in fetched.findall(page.read_text()):
            url = next(filter(None, urls))
            assert not re.match(r"(https?:)?//", url), (page, url)
            if page.name != "404.html":  # its links are from the root
                assert (page.parent / url.partition("?")[0]).exists(), (page, url)
