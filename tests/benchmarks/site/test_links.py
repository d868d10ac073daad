"""Links that leave docs: found, and given a place on the site."""

import pytest

from benchmarks.protocol import ROOT
from benchmarks.site.gallery import gallery
from benchmarks.site.links import Links, listed


@pytest.fixture
def links(tmp_path):
    for path in ("docs/a.md", "docs/deep/b.md", "README.md", "code/c.py", "results/p q.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"text of {path}\n")
    return Links(tmp_path)


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("docs/deep/b.md", "deep/b.md"),
        ("docs/none.md", "none.md"),  # MkDocs tells that it is missing
        ("README.md", "repository/README.md"),
        ("code/c.py", "repository/code/c.py.md"),
        ("code", "repository/code/index.md"),
        ("results/p q.png", "repository/results/p q.png"),
        ("none.md", None),
        ("../outside.md", None),
    ],
)
def test_everything_in_the_repository_has_a_place(links, path, uri):
    assert links.target(path).uri == uri


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("a.md", "[x](../README.md#top)", "[x](repository/README.md#top)"),
        ("deep/b.md", "[x](../../code/c.py)", "[x](../repository/code/c.py.md)"),
        ("deep/b.md", "![x](../../results/p%20q.png)", "![x](../repository/results/p%20q.png)"),
        ("deep/b.md", '<img src="../../results/p%20q.png">', None),
        ("a.md", '<a href="deep/b.md">', '<a href="deep/b.html">'),
        ("a.md", "[x](deep/b.md)", "[x](deep/b.md)"),
        (
            "a.md",
            "[x](#here) [y](https://example.org/c.md)",
            "[x](#here) [y](https://example.org/c.md)",
        ),
        ("a.md", "[x](../none.md)", "[x](../none.md)"),
        ("a.md", "`[x](../README.md)`", "`[x](../README.md)`"),
        ("a.md", "`k` [x](../README.md) `k`", "`k` [x](repository/README.md) `k`"),
        ("a.md", "```\n[x](../README.md)\n```\n", "```\n[x](../README.md)\n```\n"),
    ],
)
def test_links_hold_on_the_site(links, page, link, expected):
    expected = expected or '<img src="../repository/results/p%20q.png">'
    assert links.rewrite(link, f"docs/{page}", page) == expected


def test_a_page_outside_of_docs_links_into_it(links):
    text = "[a](docs/a.md) and [c](code/c.py)"
    assert [target.uri for target in links.found(text, "README.md")] == [
        "a.md",
        "repository/code/c.py.md",
    ]
    rewritten = links.rewrite(text, "README.md", "repository/README.md")
    assert rewritten == "[a](../a.md) and [c](code/c.py.md)"


def test_text_and_folders_are_shown_as_pages(links):
    shown = links.shown(links.target("code/c.py"))
    assert "# code/c.py\n\n````python\ntext of code/c.py\n````\n" in shown
    assert "- [c.py](c.py)\n" in links.shown(links.target("code"))
    assert links.shown(links.target("results/p q.png")) is None
    assert links.shown(links.target("README.md")) is None


def test_a_folder_is_listed_without_what_is_made_from_it(links):
    (links.root / "code" / "__pycache__").mkdir()
    (links.root / "code" / ".hidden").touch()
    (links.root / "code" / "inner").mkdir()
    assert [path.name for path in listed(links.root / "code")] == ["c.py", "inner"]
    assert links.shown(links.target("code")).endswith("- [c.py](c.py)\n- inner/\n")


def test_every_link_of_the_pages_leads_somewhere():
    links = Links(ROOT)
    coming = {"install.md", "logging.md", "looking.md", "sharing.md"}
    pages = [*(ROOT / "docs").rglob("*.md"), *(ROOT / f"{n}.md" for n in ("CONTRIBUTING",))]
    for page in pages:
        for target in links.found(page.read_text(), page.relative_to(ROOT).as_posix()):
            assert target.uri is not None, (page, target.path)
            exists = (ROOT / target.path).exists() or target.uri in coming
            assert exists, (page, target.path)


def test_the_gallery_has_every_committed_picture_of_a_first_seed():
    text = gallery()
    folders = (ROOT / "benchmarks" / "results").glob("*/*/")
    pictures = [path for folder in folders for path in sorted(folder.glob("seed*.png"))[:1]]
    assert len(pictures) > 50
    for path in pictures:
        assert f'src="../{path.relative_to(ROOT).as_posix()}"' in text
    assert '<a href="techniques/dcgan.md">DCGAN</a>' in text
    assert text.count("<figure>") == text.count("distance ") >= len(pictures)
    assert "3 of 3 collapsed" in text
