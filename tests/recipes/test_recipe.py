import pytest

from medverdict.errors import RecipeError
from medverdict.recipes.recipe import load_recipe, recipe_names, recipe_sha256, recipe_text


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_is_whole_and_opens_with_its_launch_command(name: str):
    assert load_recipe(name).name == name
    assert recipe_text(name).startswith(f"# medverdict train {name} --data")


def test_all_faults_are_named_at_once():
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", ["epoch=3", "batch_size=0", "lora_rank=x", "nonsense"])
    text = str(caught.value)
    assert "4 fault(s)" in text
    assert "epoch: unknown key; did you mean epochs?" in text
    assert all(part in text for part in ("batch_size", "lora_rank", "nonsense"))


def test_a_missing_key_is_a_fault(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(recipe_text("quickstart").replace("epochs = 1\n", ""), encoding="utf-8")
    with pytest.raises(RecipeError, match="epochs: missing"):
        load_recipe(str(path))


def test_a_recipe_of_ones_own_is_read_by_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(recipe_text("quickstart").replace("epochs = 1\n", "epochs = 2\n"), encoding="utf-8")
    assert load_recipe(str(path)).epochs == 2


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (["prompt=no place for it"], "{claim} exactly once"),
        (['label_true=" Sai"'], "two different words"),
        (["lora_rank=0"], "must be set where method is lora"),
        (["method=full"], "must be 0 where method is full"),
        (["learning_rate=0"], "must be above 0"),
        (["objective=text", "append_eos=true"], "must be false and 0 where objective is text"),
        (["objective=text", "supervised_padding=64"], "must be false and 0 where objective is text"),
        (["objective=text", "keep_best=true"], "must be false and 0 where objective is text"),
        (["objective=text", "method=zero-shot"], "must be verdict where method is zero-shot"),
        (["objective=text", 'prompt="{claim} ?"'], "needs text and then a space"),
        (["objective=text", 'prompt="Nhận định:{claim} ?"'], "needs text and then a space"),
    ],
)
def test_fields_that_do_not_go_together_are_faults(settings: list[str], fault: str):
    with pytest.raises(RecipeError, match=fault):
        load_recipe("quickstart", settings)


def test_a_mistyped_name_is_answered_with_the_nearest():
    with pytest.raises(RecipeError, match="Did you mean quickstart"):
        load_recipe("quikstart")


def test_the_hash_changes_with_any_field_and_only_then():
    assert recipe_sha256(load_recipe("quickstart")) == recipe_sha256(load_recipe("quickstart", ["epochs=1"]))
    assert recipe_sha256(load_recipe("quickstart")) != recipe_sha256(load_recipe("quickstart", ["seed=1"]))
