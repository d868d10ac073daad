"""What a run of the papers' length takes, from counted operations."""

import json
from pathlib import Path
from typing import Any

from benchmarks.render.markdown import markdown_table
from benchmarks.render.numbers import short
from benchmarks.render.published import Reported
from benchmarks.variants import Variant

#: Multiply-adds in TF32 that an H100 SXM makes at best, dense: half of the data sheet's 989
#: TFLOP/s, which are those with sparsity.
PEAK = 494.7e12
#: Shares of the peak between which a run lies: small kernels, and large ones.
SHARES = (0.1, 0.4)
HEADERS = (
    "technique",
    "updates",
    "critic updates x batch",
    "million parameters, generator and critic",
    "GFLOP an update",
    "EFLOP in all",
    "ms an update, H100",
    "hours, H100",
    "published s an update",
)


def paper_runs_table(path: Path, reported: Reported) -> str:
    """The table, with the operations of ``benchmarks.paper_runs``; "" if there is no such file."""
    if not path.is_file():
        return ""
    runs = json.loads(path.read_text())["runs"]
    return markdown_table(HEADERS, [_row(run, reported) for run in runs], text_columns=[0, 2, 8])


def _row(run: dict[str, Any], reported: Reported) -> list[str]:
    flops, updates = run["flops"], run["updates"]
    seconds = [flops / PEAK / share for share in reversed(SHARES)]
    published = [each for each in reported.seconds if each["technique"] == run["technique"]]
    return [
        Variant(run["technique"]).title,
        f"{updates:,}",
        f"{run['n_critic']} x {run['batch_size']}",
        " and ".join(f"{count / 1e6:.2f}" for count in run["parameters"]),
        f"{flops / 1e9:,.0f}",
        f"{flops * updates / 1e18:,.3g}",
        " to ".join(short(1000 * each) for each in seconds),
        " to ".join(short(each * updates / 3600) for each in seconds),
        "; ".join(f"{each['seconds']}: {each['work']}, {each['source']}" for each in published)
        or "-",
    ]
