import dataclasses
import json
import re
import xml.etree.ElementTree as ET

import pytest
from PIL import Image

from benchmarks.protocol import ROOT
from benchmarks.protocols import PROTOCOLS
from benchmarks.records import read_records, record_path, write_record
from benchmarks.render import command as render
from benchmarks.render.chart import COLORS, DASHES, HEIGHT, MAX_TICKS, WIDTH, Line, line_chart
from benchmarks.render.columns import headers, table_cells
from benchmarks.render.failures import FAILURES, failure_table
from benchmarks.render.numbers import mean_and_deviation, short, thousands
from benchmarks.render.published import (
    NEWEST_HEADERS,
    newest_rows,
    published_rows,
    read_reported,
)
from benchmarks.render.sources import hardware
from benchmarks.render.table import rows
from benchmarks.variants import Variant
from gan_lightning import TECHNIQUES

DIGITS = PROTOCOLS["digits"]


@pytest.fixture
def results(tmp_path, record, failed):
    """DCGAN on two seeds, a better LSGAN on one, a failed WGAN."""
    folder = tmp_path / "results"
    other = dataclasses.replace(
        record, seed=1, last={"fd1797_digits_cnn": 11.0, "is1797_digits_cnn": 6.0}
    )
    better = dataclasses.replace(
        record, technique="lsgan", last={"fd1797_digits_cnn": 3.0, "is1797_digits_cnn": 8.0}
    )
    for one in (record, other, better, failed):
        path = write_record(one, folder)
        if one.status == "finished":
            Image.new("RGB", (4, 4)).save(path.with_suffix(".png"))
    return folder


def _render(results, output, *arguments):
    render.main(["--results", str(results), "--output", str(output), *arguments])


def test_leaderboard_ranks_by_mean_distance_and_drops_nothing(results, tmp_path, capsys):
    _render(results, tmp_path)
    lines = (tmp_path / "LEADERBOARD.md").read_text().splitlines()
    table = [line.split(" | ") for line in lines if re.match(r"\| \(?[\d-]\)? ", line)]
    assert [row[1] for row in table[:2]] == ["LSGAN", "DCGAN"]
    # LSGAN has a single run, and the others have no finished one.
    assert [row[0] for row in table] == ["| (1)", "| 2", *["| -"] * (len(DIGITS.rows) - 2)]
    assert len(table) == len(DIGITS.rows)
    assert table[1][2] == "10.0 ± 1.41"
    text = "\n".join(lines)
    assert "WGAN, seed 0 failed" in text
    assert "WGAN, seed 1, 2 not run" in text
    assert "SAGAN, seed 0, 1, 2 not run" in text
    assert "![DCGAN](results/digits/dcgan/seed0.png)" in text
    assert "10.0 ± 1.41" in capsys.readouterr().out


def test_rows_of_an_older_version_are_shown_and_marked(results, tmp_path, record):
    old = dataclasses.replace(record, technique="sngan", protocol_version=1)
    write_record(old, results)
    _render(results, tmp_path)
    text = (tmp_path / "LEADERBOARD.md").read_text()
    assert "| SNGAN (stale) | 9.00 |" in text
    assert (
        "SNGAN, seed 0 stale: from version 1 of the protocol, "
        f"whose version is now {DIGITS.version}" in text
    )
    assert "DCGAN (stale)" not in text
    assert 'SNGAN <span class="mark">stale</span>' in (tmp_path / "leaderboard.html").read_text()


def test_a_technique_with_a_collapsed_run_is_shown_but_does_not_rank(results, tmp_path, record):
    alike = {"fd1797_digits_cnn": 4.0, "is1797_digits_cnn": 1.0}
    diverse = {"diversity/fake": 3.2, "diversity/real": 4.0}
    write_record(dataclasses.replace(record, technique="began", last=alike), results)
    other = dataclasses.replace(record, technique="began", seed=1, protocol_version=1)
    write_record(dataclasses.replace(other, last=other.last | diverse), results)
    _render(results, tmp_path)
    lines = (tmp_path / "LEADERBOARD.md").read_text().splitlines()
    table = [line.split(" | ") for line in lines if re.match(r"\| \(?[\d-]\)? ", line)]
    ranks = {row[1]: row[0] for row in table}
    assert list(ranks)[:2] == ["LSGAN", "DCGAN"]
    assert table[-1][:3] == ["| -", "BEGAN (stale, 1 of 2 collapsed)", "6.50 ± 3.54"]
    assert [row[6] for row in (table[0], table[-1], table[-2])] == ["not measured", "80%", "-"]
    reason = "its is1797_digits_cnn is 1.00, that of samples which are all alike"
    assert f"- BEGAN, seed 0 collapsed: {reason}" in lines
    assert f"BEGAN, seed 0 collapsed: {reason}" in (tmp_path / "leaderboard.html").read_text()


STABILIZERS = PROTOCOLS["digits-stabilizers"]


@pytest.fixture
def compared(tmp_path, record):
    """Plain DCGAN, a row that is better by far, one that may not be, and one with a single run."""
    distances = {
        "plain": (100.0, 110.0, 120.0),
        "hinge-loss": (10.0, 12.0, 14.0),
        "saturating-loss": (90.0, 115.0, 110.0),
        "least-squares-loss": (150.0,),
    }
    for row in STABILIZERS.rows:
        for seed, distance in enumerate(distances.get(row.key, ())):
            last = {"fd1797_digits_cnn": distance, "is1797_digits_cnn": 7.0}
            last |= {"recall1797_digits_cnn": 0.5 + seed / 10, "coverage1797_digits_cnn": 0.25}
            one = dataclasses.replace(
                record,
                protocol=STABILIZERS.name,
                protocol_version=STABILIZERS.version,
                technique=row.technique,
                key=row.key,
                title=row.title,
                options=list(row.options),
                seed=seed,
                last=last,
            )
            write_record(one, tmp_path / "results")
    return tmp_path / "results"


def test_rows_are_compared_with_the_baseline_and_their_seeds(compared):
    table = rows(read_records(compared, STABILIZERS), STABILIZERS, compared)
    titles = [header.title for header in headers(STABILIZERS, table)]
    column = titles.index("difference")
    found = {
        row.key: cells[column].text
        for row, cells in zip(table, table_cells(STABILIZERS, table), strict=True)
    }
    assert found["plain"] == "baseline"
    # The standard deviations are 2 and 10, and 13.2 and 10.
    assert found["hinge-loss"] == "-98.0 ± 10.2"
    assert found["saturating-loss"] == "-5.00 ± 16.6, within the seeds"
    assert found["least-squares-loss"] == "+40.0, one seed"
    assert found["self-attention"] == "-"
    recall = titles.index("Recall, digits classifier")
    assert table_cells(STABILIZERS, table)[0][recall].text == "0.60 ± 0.10"


def test_compared_rows_fill_their_page_and_are_not_in_the_leaderboard(compared, tmp_path):
    page = tmp_path / "docs" / "stabilizers.md"
    page.parent.mkdir()
    marks = "<!-- digits-stabilizers: begin -->\n<!-- digits-stabilizers: end -->\n"
    summary = "<!-- summary: begin -->\n<!-- summary: end -->\n"
    page.write_text(f"Text.\n\n{summary}{marks}")
    _render(compared, tmp_path)
    assert "| 1 | Hinge loss | 12.0 ± 2.00 | -98.0 ± 10.2 |" in page.read_text()
    # The means of 105 and 110 share a rank, and a single run has none.
    assert "| =2 | Saturating loss | 105 ± 13.2 |" in page.read_text()
    assert "| =2 | Plain DCGAN | 110 ± 10.0 |" in page.read_text()
    assert "| (4) | Least-squares loss | 150 |" in page.read_text()
    # Only what is beyond the seeds is bold; a single run is not.
    assert "| Hinge loss | **-89%** |" in page.read_text()
    assert "| Saturating loss | -5% |" in page.read_text()
    assert "| Least-squares loss | +36% |" in page.read_text()
    assert "| Plain DCGAN | baseline |" in page.read_text()
    assert "Hinge loss" not in (tmp_path / "LEADERBOARD.md").read_text()
    html = (tmp_path / "leaderboard.html").read_text()
    assert f'<section id="{STABILIZERS.name}">' in html
    assert "Hinge loss" in html


FINE = {"untrained": 100.0, "best": 10.0, "last": 12.0}


@pytest.mark.parametrize(
    ("protocol", "distances", "last", "failures"),
    [
        ("digits-stabilizers", FINE, {}, ()),
        ("digits-stabilizers", FINE | {"best": 51.0, "last": 60.0}, {}, ("learnt nothing",)),
        ("digits-stabilizers", FINE | {"last": 15.5}, {}, ("got worse",)),
        ("digits-stabilizers", FINE, {"diversity/fake": 0.49}, ("lost modes",)),
        ("ring-stabilizers", FINE, {"modes10k": 8.0, "diversity/fake": 0.1}, ()),
        ("ring-stabilizers", FINE, {"modes10k": 7.0}, ("lost modes",)),
        ("grid-stabilizers", FINE, {"modes10k": 24.0}, ("lost modes",)),
    ],
)
def test_each_failure_is_counted(protocol, distances, last, failures, record, tmp_path):
    protocol = PROTOCOLS[protocol]
    row = next(row for row in protocol.rows if row.key == "hinge-loss")
    scores = {name: {protocol.distance: value} for name, value in distances.items()}
    scores["last"] |= {"diversity/fake": 1.0, "diversity/real": 1.0} | last
    one = dataclasses.replace(
        record,
        protocol=protocol.name,
        protocol_version=protocol.version,
        key=row.key,
        options=list(row.options),
        distance=protocol.distance,
        score=protocol.score,
        **scores,
    )
    table = rows([one, dataclasses.replace(one, seed=1, status="failed")], protocol, tmp_path)
    lines = failure_table([(protocol, table)]).splitlines()
    kind = "images" if protocol.modes is None else "points"
    assert lines[0] == f"|  | {' | '.join(f'{name}, {kind}' for name in FAILURES)} |"
    counts = ["**1 of 1**" if name in failures else "0 of 1" for name in FAILURES]
    assert f"| Hinge loss | {' | '.join(counts)} |" in lines
    assert "| Saturating loss | - | - | - |" in lines


def test_the_newest_scores_are_shown_in_three_classes():
    reported = read_reported()
    lines = newest_rows(reported)
    kinds = list(dict.fromkeys(line[0] for line in lines))
    assert kinds == [
        "from scratch",
        "with pretrained features in the critic",
        "from a pretrained diffusion model",
    ]
    assert all(len(line) == len(NEWEST_HEADERS) and "http" in line[-1] for line in lines)
    # Each class is together, and sorted by its better score.
    assert [line[0] for line in lines] == sorted((line[0] for line in lines), key=kinds.index)
    for kind in kinds:
        best = [min(float(x) for x in line[3:5] if x != "-") for line in lines if line[0] == kind]
        assert best == sorted(best)


def test_published_scores_are_shown_beside_ours_with_whether_they_compare(record):
    reported = read_reported()
    fair = PROTOCOLS["cifar10-fair"]
    ours = dataclasses.replace(
        record, protocol="cifar10-fair", protocol_version=fair.version, technique="wgan_gp"
    )
    ours = dataclasses.replace(ours, distance="fid50k_train", last={"fid50k_train": 21.5})
    table = rows([ours], fair, ROOT)
    lines = [line for line in published_rows(fair, table, reported) if line[0] == "WGAN-GP"]
    assert {line[1] for line in lines} == {"21.5"}
    verdicts = {line[5]: line[6] for line in lines}
    assert verdicts["50k against train 50k, 3 seeds"] == "yes"
    assert verdicts["5k against 10k"] == "no: other samples"
    other = dataclasses.replace(fair, distance="fd10k_mobilenet_v2")
    assert {line[6] for line in published_rows(other, table, reported)} == {
        "no: another network, or other images"
    }
    assert published_rows(DIGITS, rows([record], DIGITS, ROOT), reported) == []


def test_page_links_to_nothing_on_the_web_but_papers_and_escapes(results, tmp_path):
    _render(results, tmp_path)
    text = (tmp_path / "leaderboard.html").read_text()
    assert "&lt;b&gt;out of memory&lt;/b&gt;" in text
    assert "<b>out" not in text
    assert text.count('src="results/digits/') == 2
    assert not re.search(r'src="(?!results/|leaderboard/)', text)
    web = set(re.findall(r'href="(https?://[^"]+)"', text))
    assert "https://arxiv.org/abs/1511.06434" in web
    assert all(link.startswith("https://arxiv.org/abs/") for link in web)
    assert not re.search(r"@import|url\((?!\")", text)
    ET.fromstring(re.search(r'<svg class="chart".*?</svg>', text, re.DOTALL)[0])
    shown = re.findall(r'<g class="line[^>]*data-name="([^"]*)"', text)
    assert set(shown) == {"LSGAN", "DCGAN"}


def test_readme_gets_the_table_between_its_markers(results, tmp_path):
    readme = tmp_path / "README.md"
    begin, end = "<!-- leaderboard: begin -->", "<!-- leaderboard: end -->"
    readme.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    _render(results, tmp_path)
    text = readme.read_text()
    assert text.startswith(f"before\n{begin}\n| # |")
    assert text.endswith(f"\n{end}\nafter\n")
    assert "old" not in text


def test_readme_names_the_other_protocols_of_the_leaderboard(results, tmp_path, record):
    mark = "<!-- leaderboard: {} -->"
    (tmp_path / "README.md").write_text(f"{mark.format('begin')}\n{mark.format('end')}\n")
    write_record(dataclasses.replace(record, protocol="fashion-mnist"), results)
    _render(results, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert text.count("| # |") == 1
    assert f"has more: {PROTOCOLS['fashion-mnist'].title}." in text


def test_check_passes_on_rendered_files_and_fails_on_any_change(results, tmp_path, record):
    _render(results, tmp_path)
    _render(results, tmp_path, "--check")
    page = (tmp_path / "leaderboard.html").read_text()
    write_record(dataclasses.replace(record, wall_seconds=999.0), results)
    with pytest.raises(
        SystemExit, match=r"leaderboard\.html, digits\.csv, LEADERBOARD\.md: not what"
    ):
        _render(results, tmp_path, "--check")
    assert (tmp_path / "leaderboard.html").read_text() == page


def test_check_fails_if_nothing_was_rendered(results, tmp_path):
    with pytest.raises(SystemExit, match=r"LEADERBOARD\.md"):
        _render(results, tmp_path, "--check")
    assert not (tmp_path / "LEADERBOARD.md").exists()


def own_row(record, key, **changed):
    return dataclasses.replace(
        record, technique="my_module.MyGAN", key=key, title=key.title(), **changed
    )


def test_rows_that_the_protocol_does_not_have_are_found_by_their_records(results, record):
    write_record(own_row(record, "mine"), results)
    smooth = Variant("dcgan", ("model.n_critic=2",), title="Smooth")
    protocol = dataclasses.replace(DIGITS, variants=(smooth,))
    table = {row.key: row for row in rows(read_records(results, protocol), protocol, results)}
    assert list(table)[:3] == ["lsgan", "mine", "dcgan"]
    assert (table["mine"].name, table["mine"].missing) == ("Mine", [1, 2])
    assert (table["smooth"].name, table["smooth"].runs) == ("Smooth", [])
    assert table.keys() == {*TECHNIQUES, "smooth", "mine"}
    # A technique has the same colour everywhere, and each other row one of its own.
    assert [table[key].index for key in TECHNIQUES] == list(range(len(TECHNIQUES)))
    assert [table[key].index for key in ("smooth", "mine")] == [
        len(TECHNIQUES),
        len(TECHNIQUES) + 1,
    ]


def test_records_of_other_options_are_stale(results, record):
    mine = own_row(record, "mine", options=["model.n_critic=2"])
    write_record(mine, results)
    write_record(dataclasses.replace(mine, seed=1, options=[]), results)
    table = rows(read_records(results, DIGITS), DIGITS, results)
    (row,) = [row for row in table if row.key == "mine"]
    assert row.label == "Mine (stale)"
    assert "seed 1 stale: trained as my_module.MyGAN" in list(row.problems())


def test_seeds_of_different_files_are_reported(results, record):
    mine = own_row(record, "mine", files={"my.py": "1" * 64})
    write_record(mine, results)
    write_record(dataclasses.replace(mine, seed=1, files={"my.py": "2" * 64}), results)
    table = rows(read_records(results, DIGITS), DIGITS, results)
    (row,) = [row for row in table if row.key == "mine"]
    assert "its seeds were trained with different files" in list(row.problems())


def test_pages_of_techniques_and_published_scores_are_of_techniques_as_they_are(record):
    fair = PROTOCOLS["cifar10-fair"]
    values = {"distance": "fid50k_train", "last": {"fid50k_train": 3.0}}
    mine = dataclasses.replace(
        own_row(record, "mine", protocol="cifar10-fair", **values), technique="wgan_gp"
    )
    lines = published_rows(fair, rows([mine], fair, ROOT), read_reported())
    assert {line[1] for line in lines} == {"-"}


def test_curves_with_the_same_colour_are_told_apart():
    lines = [Line(str(i), [(1, 1, 2, 3)], color=i) for i in range(COLORS * DASHES)]
    assert len({line.style for line in lines}) == len(lines)
    assert [line.style for line in lines[:COLORS]] == [f"c{i} d0" for i in range(COLORS)]
    drawn = re.findall(r'<g class="line ([^"]+)"', line_chart(lines, "x", "y"))
    assert drawn == [line.style for line in lines]


def test_every_style_of_a_curve_is_in_the_style_sheet():
    style = (ROOT / "benchmarks" / "render" / "leaderboard.css").read_text()
    assert {*re.findall(r"^\.(d\d) ", style, re.MULTILINE)} == {f"d{i}" for i in range(1, DASHES)}
    assert {*re.findall(r"\.(c\d) \{", style)} == {f"c{i}" for i in range(COLORS)}


@pytest.mark.slow
def test_committed_files_match_the_committed_records():
    render.main(["--check"])
    assert "<!-- leaderboard: begin -->" in (ROOT / "README.md").read_text()


def test_curves_are_the_mean_and_the_extremes_over_seeds(results, record):
    changed = dataclasses.replace(
        record,
        seed=1,
        curve=[
            point | {"fd1797_digits_cnn": point["fd1797_digits_cnn"] * 3} for point in record.curve
        ],
    )
    from benchmarks.render.page import _learning_curve

    (row,) = [r for r in rows([record, changed], DIGITS, results) if r.key == "dcgan"]
    assert [x for x, *_ in _learning_curve(row, "train_seconds").points] == [0, 2, 4]
    line = _learning_curve(row, "images")
    assert line.points == [(0, 2000, 4000, 6000), (1600, 8, 16, 24), (3200, 9, 18, 27)]


def _chart(lines, **options):
    return ET.fromstring(line_chart(lines, "x", "y", **options))


def _means(svg):
    lines = [line for line in svg.iter("polyline") if line.get("class") == "mean"]
    return [[tuple(map(float, p.split(","))) for p in line.get("points").split()] for line in lines]


def test_chart_puts_larger_values_higher_and_later_points_further_right():
    lines = [Line("a", [(1, 90, 100, 110), (10, 9, 10, 11)]), Line("b", [(2, 50, 50, 50)], color=8)]
    (first, last), _ = _means(_chart(lines))
    assert first[0] < last[0]
    assert first[1] < last[1]  # SVG's y grows downwards
    assert all(0 < y < HEIGHT and 0 < x < WIDTH for x, y in (first, last))


def test_axes_fit_the_curves_and_have_ticks():
    svg = _chart([Line("a", [(30_000, 13, 14, 15), (190_000, 60, 68, 70)])])
    ((left, low), (right, high)) = _means(svg)[0]
    assert (right - left) / WIDTH > 0.75
    assert (low - high) / HEIGHT > 0.6
    ticks = [text.text for text in svg.iter("text")]
    assert {"20", "30", "50", "70", "50k", "100k"} <= set(ticks)
    assert len(ticks) <= 2 * MAX_TICKS + 1


@pytest.mark.parametrize(("low", "high"), [(1e-6, 1e9), (5, 5), (0.013, 0.014), (1, 1.01)])
def test_axes_of_any_range_have_few_ticks(low, high):
    svg = _chart([Line("a", [(1, low, low, low), (3, high, high, high)])])
    assert 1 <= len(list(svg.iter("text"))) <= 2 * MAX_TICKS + 1
    assert all(0 <= y <= HEIGHT for _, y in _means(svg)[0])


def test_points_without_a_logarithm_are_left_out():
    points = [(0, 900, 950, 999), (10, 9, 10, 11)]
    (places,) = _means(_chart([Line("a", points, [[(0, 950), (10, 10)]])]))
    assert len(places) == 1
    assert line_chart([Line("a", points[:1])], "x", "y") == ""


def test_chart_has_the_curve_of_each_run_and_their_values():
    runs = [[(1, 90.0), (10, 9.0)], [(1, 110.0), (10, 11.0)]]
    svg = _chart([Line('a "b" <c>', [(1, 90, 100, 110), (10, 9, 10, 11)], runs)])
    assert [line.get("class") for line in svg.iter("polyline")] == ["seed", "seed", "mean"]
    (group,) = svg.iter("g")
    assert group.get("data-name") == 'a "b" <c>'
    assert json.loads(group.get("data-values")) == [[1, 90, 100, 110], [10, 9, 10, 11]]


def test_a_target_is_drawn_where_it_is_in_the_chart():
    lines = [Line("a", [(1, 90, 100, 110), (10, 9, 10, 11)])]
    assert "target 20" in [text.text for text in _chart(lines, target=20.0).iter("text")]
    assert "target" not in line_chart(lines, "x", "y", target=1.0)


def test_numbers_are_short():
    assert [short(x) for x in (1234.5, 99.94, 9.994)] == ["1234", "99.9", "9.99"]
    assert [short(x) for x in (0.114, 0.0123, 0.00045, 0)] == ["0.11", "0.012", "0.00045", "0.00"]
    assert [mean_and_deviation(v) for v in ([], [2.0], [1.0, 3.0])] == ["-", "2.00", "2.00 ± 1.41"]
    numbers = (999, 1000, 1200, 192_000, 999_600, 16_000_000)
    assert [thousands(x) for x in numbers] == ["999", "1k", "1.2k", "192k", "1M", "16M"]
    assert record_path(ROOT, "p", "t", 3) == ROOT / "p" / "t" / "seed3.json"


def test_minutes_of_runs_that_shared_a_gpu_say_so(record, tmp_path):
    device = {"name": "NVIDIA H100", "count": 1, "runs_per_gpu": 4}
    shared = dataclasses.replace(record, device=device, wall_seconds=90)
    columns = [header.title for header in headers(DIGITS, [])]
    for one, minutes in ((record, short(record.wall_seconds / 60)), (shared, "1.50, 4 on a GPU")):
        table = rows([one], DIGITS, tmp_path)
        cells = table_cells(DIGITS, table)[0]
        assert cells[columns.index("minutes")].text == minutes
    assert hardware(shared) == "NVIDIA H100, 4 runs on a GPU"
    assert "on a GPU" not in hardware(record)
