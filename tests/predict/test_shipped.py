"""The model that comes with the package is whole, within the budget, and answers as it was measured."""

import pytest

from medverdict import claims
from medverdict.data.read import read_split
from medverdict.model.budget import LIMIT
from medverdict.model.precision import choose_placement
from medverdict.predict.load import check_files, load_run, read_run
from medverdict.predict.shipped import shipped_run


def test_every_byte_of_it_is_the_measured_one_and_small_enough_to_ship():
    folder = shipped_run()
    run = read_run(folder)
    check_files(folder, run)
    assert run.parameters <= LIMIT
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 60e6
    assert run.overrides == (), "no gate was opened for it"
    assert run.peak_bytes is None, "written before it was counted"


def test_none_of_its_golden_rows_is_of_the_frozen_test():
    frozen = {claim.text for claim in read_split(claims.test_file(), "test").claims}
    assert frozen.isdisjoint(row.text for row in read_run(shipped_run()).golden)


@pytest.mark.pinned
def test_it_replays_its_golden_rows(real_base):
    assert load_run(shipped_run(), choose_placement()).run.recipe.name == "v6"
