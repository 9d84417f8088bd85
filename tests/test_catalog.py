from pathlib import Path

import pytest

from bot.catalog import Catalog
from bot.errors import SettingsError, UnknownModel

NEW_MODEL = """
[chat.gpt-9]
label = "GPT-9"
input_nano = 1
output_nano = 2
context_tokens = 100
output_tokens = 10
sees_images = false
"""


@pytest.fixture
def override(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


def problems(override: Path, text: str) -> list[str]:
    override.write_text(text)
    with pytest.raises(SettingsError) as refused:
        Catalog.load(override)
    return refused.value.problems


def test_the_shipped_catalogue_has_the_apis_five_models_at_its_prices() -> None:
    prices = {model.id: model.price_in_words for model in Catalog.load().chat_models}
    assert prices == {
        "gpt-4o-mini": "$0.15 in, $0.60 out per 1M tokens",
        "gpt-4o": "$2.50 in, $10.00 out per 1M tokens",
        "gpt-4.1": "$2.00 in, $8.00 out per 1M tokens",
        "gpt-4.1-mini": "$0.40 in, $1.60 out per 1M tokens",
        "gpt-4.1-nano": "$0.10 in, $0.40 out per 1M tokens",
    }


def test_a_price_is_exact_in_nano_dollars() -> None:
    model = Catalog.load().chat_model("gpt-4o-mini")
    assert model.price(input_tokens=3, output_tokens=7) == 3 * 150 + 7 * 600


def test_a_choice_name_has_label_and_price_and_fits_discord() -> None:
    for model in Catalog.load().chat_models:
        assert model.choice_name == f"{model.label} ({model.price_in_words})"
        assert len(model.choice_name) <= 100


def test_a_long_label_gives_way_to_the_price(override: Path) -> None:
    override.write_text(f'[chat.gpt-4o]\nlabel = "{"Long " * 40}"')
    model = Catalog.load(override).chat_model("gpt-4o")
    assert len(model.choice_name) <= 100
    assert model.choice_name.endswith(f"… ({model.price_in_words})")


@pytest.mark.parametrize("name", ["gpt-4o-mini", "gpt-4o-mini-2024-07-18"])
def test_a_model_is_found_by_its_id_and_by_the_dated_name_of_the_api(name: str) -> None:
    assert Catalog.load().chat_model(name).id == "gpt-4o-mini"


@pytest.mark.parametrize("name", ["gpt-3", "gpt-4o-mini-2024", "", "gpt-3-2024-07-18"])
def test_another_name_is_an_unknown_model_and_says_what_is_known(name: str) -> None:
    with pytest.raises(UnknownModel) as refused:
        Catalog.load().chat_model(name)
    assert "gpt-4o" in refused.value.known


def test_a_model_that_cannot_see_gives_way_to_its_stand_in(override: Path) -> None:
    override.write_text(NEW_MODEL)
    catalog = Catalog.load(override)
    answering = {model.id: catalog.for_images(model) for model in catalog.chat_models}
    assert {name: found.id if found else None for name, found in answering.items()} == {
        "gpt-4o-mini": "gpt-4o-mini",
        "gpt-4o": "gpt-4o",
        "gpt-4.1": "gpt-4o",
        "gpt-4.1-mini": "gpt-4o-mini",
        "gpt-4.1-nano": "gpt-4o-mini",
        "gpt-9": None,
    }


def test_an_override_changes_its_keys_and_leaves_the_others(override: Path) -> None:
    override.write_text('default_chat_model = "gpt-4.1"\n[chat.gpt-4o]\ninput_nano = 7')
    catalog = Catalog.load(override)
    model = catalog.chat_model("gpt-4o")
    assert (model.input_nano, model.output_nano) == (7, 10_000)
    assert catalog.default.id == "gpt-4.1"


def test_an_override_adds_a_model(override: Path) -> None:
    override.write_text(NEW_MODEL)
    assert Catalog.load(override).chat_model("gpt-9").context_tokens == 100


def test_a_retired_model_is_unknown(override: Path) -> None:
    override.write_text('[chat."gpt-4.1"]\nretired = true')
    with pytest.raises(UnknownModel):
        Catalog.load(override).chat_model("gpt-4.1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[chat.gpt-4o]\ninput_nano = -1", "chat.gpt-4o.input_nano must be at least 0, not -1"),
        ("[chat.gpt-4o]\ncontext_tokens = 0", "chat.gpt-4o.context_tokens must be at least 1, not 0"),
        ("[chat.gpt-4o]\ninput_nano = 0.5", "chat.gpt-4o.input_nano must be a whole number, not 0.5"),
        ("[chat.gpt-4o]\ninput_nano = true", "chat.gpt-4o.input_nano must be a whole number, not True"),
        ("[chat.gpt-4o]\nlabel = 1", "chat.gpt-4o.label must be text, not 1"),
        ('[chat.gpt-4o]\nsees_images = "yes"', "chat.gpt-4o.sees_images must be true or false, not 'yes'"),
        ("[chat.gpt-4o]\ninput_nanos = 1", "chat.gpt-4o.input_nanos is not a key of a model"),
        ('[chat.new]\nlabel = "x"', "chat.new.input_nano is missing"),
        ("[chat]\ngpt-4o = 1", "chat.gpt-4o must be a table"),
        ('[chat."gpt-4.1"]\nstands_in = "nobody"', "chat.gpt-4.1.stands_in names 'nobody', which is no model"),
        ('[chat."gpt-4.1"]\nstands_in = "gpt-4.1-nano"', "which cannot see images either"),
        ("[chat.gpt-4o]\nretired = true", "chat.gpt-4.1.stands_in names 'gpt-4o'"),
        ('default_chat_model = "nobody"', "default_chat_model 'nobody' is none of gpt-4o-mini,"),
        ("chats = 1", "chats is not a key of the catalogue"),
        ("chat = [", "is not valid TOML"),
    ],
)
def test_a_mistake_is_named_with_its_key(override: Path, text: str, words: str) -> None:
    assert any(words in problem for problem in problems(override, text))


def test_a_mistake_is_named_with_its_file(override: Path) -> None:
    assert problems(override, "[chat.gpt-4o]\ninput_nano = -1")[0].startswith(f"{override}: ")


def test_every_mistake_is_named_at_once(override: Path) -> None:
    assert len(problems(override, "[chat.gpt-4o]\ninput_nano = -1\noutput_nano = -1\nlabel = 1")) == 3


def test_a_missing_override_is_a_setting_to_mend(override: Path) -> None:
    with pytest.raises(SettingsError, match=r"mine\.toml: cannot be read"):
        Catalog.load(override)


def test_more_models_than_discord_offers_are_refused(override: Path) -> None:
    text = "".join(NEW_MODEL.replace("gpt-9", f"gpt-9-{number}") for number in range(21))
    assert "retire some" in problems(override, text)[0]


def test_the_shipped_catalogue_has_the_apis_fifteen_picture_models_at_one_price() -> None:
    models = Catalog.load().image_models
    assert len(models) == 15
    assert {model.image_nano for model in models} == {1_500_000}


def test_pictures_are_priced_each() -> None:
    assert Catalog.load().image_model("realvision").price(4) == 6_000_000


def test_pictures_are_never_counted_below_zero() -> None:
    with pytest.raises(ValueError, match="never negative"):
        Catalog.load().image_model("realvision").price(-1)


def test_an_unknown_picture_model_is_refused_never_free() -> None:
    with pytest.raises(UnknownModel) as refused:
        Catalog.load().image_model("gpt-4o")
    assert "realvision" in refused.value.known


def test_an_operator_prices_a_picture_model_anew_and_retires_another(override: Path) -> None:
    override.write_text("[image.realvision]\nimage_nano = 2\n[image.amigo]\nretired = true")
    catalog = Catalog.load(override)
    assert catalog.image_model("realvision").image_nano == 2
    assert "amigo" not in {model.id for model in catalog.image_models}


def test_a_picture_model_has_no_keys_of_a_chat_model(override: Path) -> None:
    (problem,) = problems(override, "[image.realvision]\nlabel = 'x'")
    assert "image.realvision.label is not a key of a model" in problem


def test_without_a_mark_the_first_picture_model_that_draws_everywhere_is_the_default(override: Path) -> None:
    assert Catalog.load().default_image == Catalog.load().image_model("realvision")
    override.write_text("[image.realvision]\nage_restricted = true")
    catalog = Catalog.load(override)
    assert catalog.image_model("realvision").age_restricted
    assert catalog.default_image == catalog.image_model("juggernaut")


def test_an_operator_marks_the_default_picture_model(override: Path) -> None:
    override.write_text('default_image_model = "realism"')
    assert Catalog.load(override).default_image == Catalog.load().image_model("realism")


def test_where_every_picture_model_is_retired_there_is_no_default(override: Path) -> None:
    override.write_text("".join(f"[image.{model.id}]\nretired = true\n" for model in Catalog.load().image_models))
    catalog = Catalog.load(override)
    assert (catalog.image_models, catalog.default_image) == ((), None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('default_image_model = "nobody"', "default_image_model 'nobody' is none of realvision,"),
        ("default_image_model = 1", "default_image_model 1 is none of realvision,"),
        (
            'default_image_model = "amigo"\n[image.amigo]\nretired = true',
            "default_image_model 'amigo' is none of realvision,",
        ),
        ("[image.amigo]\nage_restricted = 1", "image.amigo.age_restricted must be true or false, not 1"),
    ],
)
def test_a_mistake_with_picture_models_is_named_with_its_key(override: Path, text: str, words: str) -> None:
    assert any(words in problem for problem in problems(override, text))
