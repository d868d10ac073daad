"""The pages of the techniques: complete, and filled in by the program."""

import dataclasses
import re

import pytest
import torch
import yaml
from helpers import IMAGE, every_technique

from benchmarks.protocol import ROOT
from benchmarks.protocols import PROTOCOLS
from benchmarks.records import write_record
from benchmarks.render import command as render
from benchmarks.render.markdown import fill, markdown_table
from benchmarks.render.published import REPORTED, read_reported
from benchmarks.render.techniques import count_parameters
from gan_lightning import TECHNIQUES
from gan_lightning.cli.configs import named_configs

PAGES = ROOT / "docs" / "techniques"
HEADINGS = [
    "The idea",
    "Equations",
    "What is logged",
    "Networks",
    "Deviations from the paper",
    "Train it",
    "Our results",
]
DIGITS = PROTOCOLS["digits"]
#: Pages of what is a config of several techniques, and no class.
METHODS = {"ttur"}


def test_every_technique_has_a_page():
    assert {path.stem for path in PAGES.glob("*.md")} == {*TECHNIQUES} | METHODS


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_page_of_a_method_names_configs_that_exist(name):
    text = (PAGES / f"{name}.md").read_text()
    for heading in ("The idea", "Train it", "Deviations from the paper", "Published"):
        assert f"\n## {heading}\n" in text
    configs = re.findall(r"--config (\S+)", text)
    assert configs
    assert [config for config in configs if config not in named_configs()] == []
    for key in re.findall(rf"`(\w+)_{name}\.yaml`", text):
        assert key in TECHNIQUES
        for folder in ("digits", "fashion_mnist", "cifar10", "image_folder"):
            assert (ROOT / "configs" / folder / f"{key}_{name}.yaml").is_file()


@every_technique
def test_a_page_has_every_section(name):
    text = (PAGES / f"{name}.md").read_text()
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    own = [heading for heading in headings if heading != "Curves"]
    assert own[:-2] == HEADINGS
    assert own[-2].startswith("Published")
    assert own[-1] == "BibTeX"
    for block in ("parameters", "results", "published"):
        (content,) = re.findall(
            rf"<!-- {block}: begin -->(.*?)<!-- {block}: end -->", text, re.DOTALL
        )
        assert content.count("|") > 10, block
    deviations = text.split("## Deviations from the paper")[1].split("##")[0]
    numbers = [int(n) for n in re.findall(r"^(\d+)\. ", deviations, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbers
    config = re.search(r"gan-lightning fit --config (\S+)", text)[1]
    assert config in named_configs()


@pytest.mark.parametrize("name", sorted({*TECHNIQUES} | METHODS))
def test_links_of_a_page_have_targets(name):
    text = (PAGES / f"{name}.md").read_text()
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", text)
    assert links
    assert [link for link in links if not (PAGES / link).exists()] == []


@every_technique
def test_a_page_explains_everything_that_is_logged(name):
    text = (PAGES / f"{name}.md").read_text().split("## What is logged")[1].split("## Networks")[0]
    model = TECHNIQUES[name](IMAGE, generator_width=4, critic_width=4)
    z = model.draw_latents(4)
    x = torch.randn(4, *IMAGE)
    logged = {*model.critic_objective(x, None, z)[1], *model.generator_objective(x, None, z)[1]}
    first_cells = " ".join(re.findall(r"^\| (`[^|]+)\|", text, re.MULTILINE))
    # Keys that a callback adds have a placeholder, such as <layer>.
    explained = {name for name in re.findall(r"`([^`]+)`", first_cells) if "<" not in name}
    assert explained == logged


def references():
    """The fields of the BibTeX entry at the end of each page, by the page's name."""
    for page in sorted(PAGES.glob("*.md")):
        entry = page.read_text().rpartition("\n## BibTeX\n\n")[2]
        assert re.fullmatch(r"```bibtex\n@(inproceedings|misc)\{\w+,\n(  .+\n)+\}\n```\n", entry), (
            page
        )
        yield page, dict(re.findall(r"^  (\w+) = \{(.+)\},$", entry, re.MULTILINE))


def test_a_page_ends_with_the_reference_that_it_begins_with():
    found = dict(references())
    assert len(found) == len(TECHNIQUES) + len(METHODS)
    for page, fields in found.items():
        cited = " ".join(page.read_text().split("\n\n")[1].split())
        title = re.sub(r"[{}]", "", fields["title"])
        assert f'"{title}"'.lower() in cited.lower().replace(',"', '"'), page
        surnames = [name.partition(",")[0] for name in fields["author"].split(" and ")]
        people = f"{', '.join(surnames[:-1])} & {surnames[-1]} {fields['year']}"
        assert cited.startswith(people.replace("L{\\'e}on", "")), page
        assert f"[arXiv:{fields['eprint']}](https://arxiv.org/abs/{fields['eprint']})" in cited
        assert fields["archivePrefix"] == "arXiv"
        if page.stem in TECHNIQUES:
            assert f"arXiv:{fields['eprint']}" in TECHNIQUES[page.stem].__doc__


@pytest.mark.parametrize("name", sorted({*TECHNIQUES} | METHODS))
def test_a_page_shows_its_config_on_digits(name):
    text = (PAGES / f"{name}.md").read_text()
    (block,) = re.findall(r"<!-- config: begin -->(.*?)<!-- config: end -->", text, re.DOTALL)
    shown = re.findall(r"```yaml\n(.*?)```", block, re.DOTALL)
    pattern = f"{name}.yaml" if name in TECHNIQUES else f"*_{name}.yaml"
    configs = sorted((ROOT / "configs" / "digits").glob(pattern))
    assert configs
    assert shown == [config.read_text() for config in configs]


def test_published_scores_and_parameters_are_complete():
    reported = read_reported()
    assert {entry["technique"] for entry in reported.scores} == set(TECHNIQUES)
    assert {entry["technique"] for entry in reported.parameters} == set(TECHNIQUES)
    for entry in reported.scores:
        assert {type(value) for value in entry.values()} == {str}, entry
        assert "http" in entry["source"]
    assert yaml.safe_load(REPORTED.read_text()).keys() == {
        "scores",
        "newest",
        "parameters",
        "seconds",
    }


def test_render_fills_a_page_and_checks_it(tmp_path, record):
    folder = tmp_path / "docs" / "techniques"
    folder.mkdir(parents=True)
    page = folder / "dcgan.md"
    page.write_text("Before.\n<!-- results: begin -->\nold\n<!-- results: end -->\nAfter.\n")
    write_record(record, tmp_path / "results")
    arguments = ["--results", str(tmp_path / "results"), "--output", str(tmp_path)]
    render.main(arguments)
    text = page.read_text()
    assert text.startswith("Before.\n<!-- results: begin -->\nHandwritten digits")
    assert text.endswith("<!-- results: end -->\nAfter.\n")
    figures = "9.00 | 8.00 | 2000 | 7.00 | not measured | 2.00 | 1.6k | 200 | 3.2k | 1.50 | 1"
    assert f"| {figures} |" in text
    rows = len(PROTOCOLS["digits"].rows)
    assert f"Handwritten digits, 8 x 8, place 1 of {rows} by a single run (" in text
    assert "[what is measured](../../LEADERBOARD.md)" in text
    render.main([*arguments, "--check"])
    page.write_text(text.replace("9.00", "8.99"))
    with pytest.raises(SystemExit, match=r"dcgan\.md: not what the records give"):
        render.main([*arguments, "--check"])


def test_a_page_tells_that_a_collapsed_technique_does_not_rank(tmp_path, record):
    page = tmp_path / "docs" / "techniques" / "dcgan.md"
    page.parent.mkdir(parents=True)
    page.write_text("<!-- results: begin --><!-- results: end -->")
    last = record.last | {"diversity/fake": 1.0, "diversity/real": 4.0}
    write_record(dataclasses.replace(record, last=last), tmp_path / "results")
    render.main(["--results", str(tmp_path / "results"), "--output", str(tmp_path)])
    assert "8 x 8, not ranked, 1 of 1 runs collapsed (" in page.read_text()
    assert "| 7.00 | 25% | 2.00 | 1.6k | 200 |" in page.read_text()


def test_a_small_parameter_count_matches_a_count_by_hand():
    # Two critics of 8 px: 5 layers by their shapes.
    generator, critic = count_parameters(
        "dcgan", 8, generator_width=2, critic_width=2, latent_dim=3
    )
    # Linear 3 -> 4 x 2 x 2, BN 4; 4 -> 2 of 4 x 4, BN 2; 2 -> 3 of 4 x 4 and biases.
    assert generator == 3 * 16 + 8 + 4 * 2 * 16 + 4 + 2 * 3 * 16 + 3
    # 3 -> 2 of 4 x 4 and biases; 2 -> 4, BN 4; 4 x 2 x 2 -> 1 and its bias.
    assert critic == 3 * 2 * 16 + 2 + 2 * 4 * 16 + 8 + 16 + 1


def test_a_page_without_markers_is_unchanged():
    assert fill("text", "results", "new") == "text"
    half = "<!-- results: begin --> text"
    assert fill(half, "results", "new") == half


def test_a_markdown_table_aligns_words_left_and_numbers_right():
    text = markdown_table(["a", "b"], [["x", "1"]], text_columns=[0])
    assert text == "| a | b |\n| --- | ---: |\n| x | 1 |"
