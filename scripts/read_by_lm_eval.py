"""Reads what `groma eval --output DIRECTORY` left by lm-evaluation-harness's own code: finds the files as it does, makes its
table of them, and holds the samples against the results.

    pip install --no-deps lm_eval==0.4.13
    pip install numpy requests pyyaml jinja2 pytablewriter
    python scripts/read_by_lm_eval.py DIRECTORY

Its table maker and the functions that find files need no PyTorch.
"""

import json
import math
import sys
from pathlib import Path

from lm_eval.utils import (
    get_file_datetime,
    get_file_task_name,
    get_latest_filename,
    get_results_filenames,
    get_sample_results_filenames,
    make_table,
    sanitize_model_name,
)


def main(directory):
    [of_model] = [path for path in Path(directory).iterdir() if path.is_dir()]
    files = [path.as_posix() for path in of_model.iterdir()]
    latest = get_latest_filename(get_results_filenames(files))
    results = json.loads(Path(latest).read_text())
    assert of_model.name == sanitize_model_name(results["model_name"]), of_model
    table = make_table(results)
    print(table)
    assert set(table_numbers(table)) == set(results_numbers(results)), "its table holds what the results do"
    own = (of_model / Path(latest).name.replace(".json", ".md")).read_text()
    assert set(table_numbers(own)) == set(table_numbers(table)), f"our table holds what its own does\n{own}"
    samples = {get_file_task_name(Path(name).name): name for name in get_sample_results_filenames(files)}
    assert samples.keys() == results["results"].keys(), samples
    for task, name in samples.items():
        assert get_file_datetime(Path(name).name) == get_file_datetime(Path(latest).name).removesuffix(".json"), name
        check_samples(task, [json.loads(line) for line in Path(name).read_text().splitlines()], results)
    print(f"lm-evaluation-harness reads {len(samples)} tasks")


def table_numbers(table):
    """Task, metric, value and error of each row of a Markdown table."""
    task = ""
    for line in table.splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip()[1:-1].split("|")]
        if len(cells) < 9 or set("".join(cells)) <= set("-:"):
            continue
        task = cells[0].lstrip("- ").strip() or task
        yield task, cells[4], number(cells[6]), number(cells[8])


def number(cell):
    """What a cell says: a column of zeros is written without decimals."""
    return cell if cell == "N/A" else float(cell)


def results_numbers(results):
    for task, metrics in results["results"].items():
        for key, value in metrics.items():
            name, comma, of_filter = key.partition(",")
            if comma and not name.endswith("_stderr"):
                error = metrics[f"{name}_stderr,{of_filter}"]
                shown = "N/A" if error == "N/A" else f"{error:.4f}"
                yield task, name, number(f"{value:.4f}" if isinstance(value, float) else str(value)), number(shown)


def check_samples(task, rows, results):
    assert len(rows) == results["n-samples"][task]["effective"] == results["results"][task]["sample_len"], task
    for key in ["doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash"]:
        assert all(key in row for row in rows), (task, key)
    # Of a plain mean the samples give the value.
    for name in set(rows[0]["metrics"]):
        values = [row[name] for row in rows if isinstance(row.get(name), (int, float))]
        error = results["results"][task].get(f"{name}_stderr,none")
        if isinstance(error, float) and len(values) == len(rows):
            assert math.isclose(sum(values) / len(values), results["results"][task][f"{name},none"], rel_tol=1e-9), name


if __name__ == "__main__":
    main(sys.argv[1])
