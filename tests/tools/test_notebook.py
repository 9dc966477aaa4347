"""The notebook is what its source says, and runs from first to last cell."""

import json
import re
import shlex
from pathlib import Path

import pytest
from notebook import NOTEBOOK, SOURCE, build, execute, with_outputs_of

from generate.knowledge_files import vimedical, vimedner
from medverdict.errors import NOT_ADVICE
from parsing import parse

TEXT = SOURCE.read_text(encoding="utf-8")
STORED = json.loads(NOTEBOOK.read_text(encoding="utf-8"))


def output_of(notebook):
    return "".join("".join(output.get("text", "")) for cell in notebook["cells"] for output in cell.get("outputs", ()))


def run_notebook(folder, monkeypatch, **parameters):
    """Run all cells with other parameters; everything they printed."""
    for name, value in parameters.items():
        monkeypatch.setenv(f"MEDVERDICT_NOTEBOOK_{name}", str(value))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = execute(build(TEXT), folder)
    assert all(cell["execution_count"] for cell in notebook["cells"] if cell["cell_type"] == "code")
    return output_of(notebook)


def test_the_notebook_is_what_its_source_says():
    made = with_outputs_of(build(TEXT), STORED)
    assert json.dumps(made, ensure_ascii=False, indent=1) + "\n" == NOTEBOOK.read_text(encoding="utf-8"), (
        "run `make notebook`"
    )


def test_the_notebook_is_valid():
    import nbformat

    nbformat.validate(nbformat.from_dict(STORED))


def test_cells_are_short_and_speak_both_languages():
    for cell in STORED["cells"]:
        assert len(cell["source"]) <= 24, "".join(cell["source"])
    text = ["".join(cell["source"]) for cell in STORED["cells"] if cell["cell_type"] == "markdown"]
    assert not [cell for cell in text if not re.search(r"\*[A-Z][a-zA-Z,:' ]+", cell)], "a cell without English"


def test_stored_outputs_name_no_folder_of_the_machine_that_ran_it():
    told = output_of(STORED)
    assert str(Path.home()) + "/" not in told
    assert str(SOURCE.parent.parent) + "/" not in told


def test_its_commands_exist_with_their_options():
    commands = re.findall(r'sh\(f?"medverdict ([^"]*)"', TEXT)
    assert len(commands) >= 12
    for command in commands:
        words = re.sub(r"\{OPTIONS\}|\{options\}", "", command)  # none, as by default
        words = words.replace("{KNOWLEDGE_ROWS}", "154477")
        parse(shlex.split(re.sub(r"\{[^}]*\}", "x", words)))


def test_a_line_that_is_almost_a_cell_is_refused():
    with pytest.raises(ValueError, match="%%"):
        build("# %%\nx = 1\n# %%[markdown]\n# text\n")


def test_outputs_stay_only_with_the_code_that_made_them():
    source = "# %% [markdown]\n# text\n# %%\nprint(1)\n"
    ran = build(source)
    ran["cells"][1] |= {"execution_count": 1, "outputs": [{"output_type": "stream", "name": "stdout", "text": ["1"]}]}
    assert output_of(with_outputs_of(build(source.replace("text", "other text")), ran)) == "1"
    assert output_of(with_outputs_of(build(source.replace("print(1)", "print(2)")), ran)) == ""


@pytest.mark.slow
def test_every_cell_runs_on_a_cpu_with_a_tiny_base(tiny_base, tmp_path, monkeypatch):
    small = {"BASE": tiny_base.path, "ROWS": 60, "TEST_ROWS": 40, "SETTINGS": "epochs=1 batch_size=8"}
    told = run_notebook(tmp_path, monkeypatch, **small)
    assert "ROWS=60" in told and "v4 hyper-parameters on the same data" in told
    assert " ".join(NOT_ADVICE.split()) in " ".join(told.split())
    assert len(list(tmp_path.glob("medverdict/runs/*/run.json"))) == 2
    assert list(tmp_path.glob("medverdict/*.zip"))


@pytest.mark.slow
def test_it_takes_a_csv_and_knowledge_files_and_a_second_run_skips_what_is_done(tiny_base, tmp_path, monkeypatch):
    rows = [f"Thuốc số {n} chữa được bệnh số {n * 7 % 101}.,{'TRUE' if n % 2 else 'FALSE'}" for n in range(200)]
    (tmp_path / "mine.csv").write_text("\n".join(["claim,label", *rows]), encoding="utf-8")
    vimedical(tmp_path)
    vimedner(tmp_path)
    mine = {"CLAIMS": tmp_path / "mine.csv", "KNOWLEDGE": tmp_path, "KNOWLEDGE_ROWS": 60}
    told = run_notebook(tmp_path, monkeypatch, BASE=tiny_base.path, RECIPE="v5-optimized", **mine)
    assert "templated rows out of knowledge files" in told
    again = run_notebook(tmp_path, monkeypatch, BASE=tiny_base.path, RECIPE="v5-optimized", **mine)
    assert again.count("is finished already") == 2 and "is there already" in again
