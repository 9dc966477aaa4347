"""One file of results; every page, picture and figure follows from it."""

import copy
import xml.etree.ElementTree as ElementTree

import pytest
from results import DOCS, LANGUAGES, ROOT, add, add_baselines, add_run, fill, render, rows_of, stored_results
from results_chart import THEMES, chart
from toy_results import TOY

from medverdict.evaluate.records import System
from medverdict.records import Metric, Run


def test_the_page_and_the_charts_are_what_the_stored_results_render():
    results = stored_results()
    if results is None:
        pytest.skip("docs/results.json: nothing measured yet")
    assert (DOCS / "results.md").read_text(encoding="utf-8") == render(results), "run `make results`"
    rows = rows_of(results, results["chart"])[::-1]
    for theme in THEMES:
        drawn = (DOCS / f"results-{theme}.svg").read_text(encoding="utf-8")
        assert drawn == chart(rows, results["chart_label"], theme), "run `make results`"


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_figure_in_a_document_comes_from_the_stored_results(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    docs = "docs/" if "/" not in name else ""
    assert fill(text, stored_results(), LANGUAGES[name], docs) == text, "run `make results`"


def test_every_system_has_a_vietnamese_name():
    results = stored_results() or {"rows": [], "runs": [], "names_vi": {}}
    shown = {row["system"] for row in [*results["rows"], *results["runs"]]}
    assert shown <= set(results["names_vi"]), "name them in names_vi of docs/results.json, and run `make results`"


def test_the_page_tells_measured_from_published_and_predicted():
    page = render(TOY)
    assert "| **v6** | 79.2 % | 76.9–81.4 % | 61.5 % | 86.0 % | 0.861 | note on v6 |" in page
    assert "| v4-chunked, published | 51.4 % | – | – | – | – | *published:* note on v4-chunked, published |" in page
    assert "| v6 on a slower one | 6,381 | – | 30.0 min (predicted) | toy GPU, fp16 | – | – |" in page


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("toy/v6/accuracy", "79.2 %"),
        ("toy/v5-optimized, templated rows/interval", "51.0–57.2 %"),
        ("toy/v4-chunked, published/interval", "chưa đo"),
        ("toy/v9/accuracy", "chưa đo"),
        ("other/v6/accuracy", "chưa đo"),
        ("runs/v6/minutes", "4.3 min"),
    ],
)
def test_a_figure_is_filled_in_or_said_to_be_missing(address, shown):
    text = f"a <!-- figure: {address} -->99 %<!-- /figure --> b"
    assert fill(text, TOY, "vi") == f"a <!-- figure: {address} -->{shown}<!-- /figure --> b"


def test_without_results_no_number_stands_anywhere():
    figure, table = "<!-- figure: toy/v6/auc -->1<!-- /figure -->", "<!-- table: toy -->2<!-- /table -->"
    filled = fill(figure + table + "<!-- picture: results -->3<!-- /picture -->", None, "en")
    assert filled.count("not measured yet") == 3
    assert not any(digit in filled.replace("v6", "") for digit in "0123456789")


def test_a_figure_with_a_mistyped_field_is_refused():
    with pytest.raises(ValueError, match="acuracy"):
        fill("<!-- figure: toy/v6/acuracy --><!-- /figure -->", TOY, "en")


def test_tables_have_the_same_numbers_in_both_languages():
    text = "<!-- table: toy --><!-- /table -->\n<!-- table: runs --><!-- /table -->"
    english, vietnamese = fill(text, TOY, "en").splitlines(), fill(text, TOY, "vi").splitlines()
    assert "| v6 | 79.2 % | 76.9–81.4 % | 61.5 % | 0.861 | measured here |" in english
    assert "| v6 | 79.2 % | 76.9–81.4 % | 61.5 % | 0.861 | đo ở đây |" in vietnamese
    assert [line.split("|")[1:6] for line in english if "toy" in line] == [
        line.split("|")[1:6] for line in vietnamese if "toy" in line
    ]


def test_steps_of_one_thing_keep_their_order_where_the_test_says_so():
    scores = {"b first": 70.0, "a second": 60.0, "c third": 65.0}
    told = {"name": "steps", "title": "Steps", "about": "", "in_order": True}
    rows = [
        TOY["rows"][0] | {"test": "steps", "system": name, "accuracy": [score] * 3} for name, score in scores.items()
    ]
    stepped = TOY | {"tests": [*TOY["tests"], told], "rows": [*TOY["rows"], *rows]}
    for page in (render(stepped), fill("<!-- table: steps --><!-- /table -->", stepped, "en")):
        assert [page.index(name) for name in scores] == sorted(page.index(name) for name in scores)


def test_a_table_in_vietnamese_names_systems_in_vietnamese():
    named = TOY | {"names_vi": {"Keyword rule": "quy tắc từ khóa (Keyword rule)"}}
    table, english = (fill("<!-- table: toy --><!-- /table -->", named, language) for language in ("vi", "en"))
    assert "| quy tắc từ khóa (Keyword rule) | 72.2 % |" in table and "| v6 | 79.2 % |" in table
    assert "| Keyword rule | 72.2 % |" in english


def test_filling_twice_changes_nothing():
    once = fill("<!-- picture: results --><!-- /picture -->", TOY, "en", "docs/")
    assert 'src="docs/results-light.svg"' in once and "v6 79.2 %" in once
    assert fill(once, TOY, "en", "docs/") == once


def test_both_charts_show_every_system_at_the_same_place():
    rows = [*rows_of(TOY, "toy"), TOY["rows"][0] | {"system": "a < b & c"}]
    places = []
    for theme in THEMES:
        drawing = ElementTree.fromstring(chart(rows, "toy", theme))
        texts = [element for element in drawing if element.tag.endswith("text")]
        assert {row["system"] for row in rows} <= {element.text for element in texts}
        places.append([(element.get("x"), element.get("y"), element.text) for element in texts])
    assert places[0] == places[1]


def system(name, value):
    metric = Metric(value=value, low=None if value is None else value - 0.02, high=None if value is None else 1.0, n=9)
    return System(
        name=name, title=name, accuracy=metric, hard=metric, easy=metric, balanced=metric, auc=metric, lead=None, p=None
    )


def test_rows_are_taken_out_of_a_report_and_replace_older_ones():
    results = copy.deepcopy(TOY)
    judges = [system("v6-s0-1234", 0.8125), system("Keyword rule", 0.5)]
    report = {"systems": [judge.model_dump(mode="json") for judge in judges]}
    add(results, "toy", "v6", report, "again")
    add_baselines(results, "toy", report, "again")
    assert len(results["rows"]) == len(TOY["rows"])
    found = {row["system"]: row for row in results["rows"]}
    assert found["v6"]["accuracy"] == [81.2, 79.2, 100.0] and found["v6"]["auc"] == 0.812
    assert found["Keyword rule"]["kind"] == "baseline" and found["Keyword rule"]["note"] == "again"


def test_how_a_run_was_made_is_taken_out_of_its_manifest():
    results = copy.deepcopy(TOY)
    run = {"rows": {"train": 5, "dev": 2}, "steps": 3, "seconds": 61.26, "device": "toy", "precision": "bf16"}
    assert set(run) <= set(Run.model_fields)
    add_run(results, "v6", run, "medverdict train v6")
    assert [row["system"] for row in results["runs"]] == ["v6 on a slower one", "v6"]
    assert "| v6 | 5 | 3 | 1.0 min | toy, bf16 | – | `medverdict train v6` |" in render(results)
    assert "peak_bytes" in Run.model_fields
    add_run(results, "v6", run | {"peak_bytes": 5 * 2**29}, "medverdict train v6")
    assert "| 1.0 min | toy, bf16 | 2.5 GiB | `medverdict train v6` |" in render(results)
