"""What is said when a picture is refused or fails: each sentence says what to do."""

import pytest

from bot import errors
from bot.errors import BotError
from bot.money import CreditUnit
from cogs.words import explain

UNIT = CreditUnit(nano=1_000_000)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.PromptEmpty("picture"), "Please describe the picture"),
        (errors.PromptTooLong(length=2_001, limit=2_000, unit="characters", of="picture"), "Please shorten it."),
        (errors.ChoiceUnknown("scheduler", "`@here`", known=("Euler", "LMS")), "`@here`. Please choose one of `Euler`"),
        (errors.PicturesOff(), "admins can switch them on, with `/settings images`"),
        (errors.AgeRestricted("realgirls"), "`realgirls` draws in age-restricted channels only. Please choose another"),
        (errors.TooLate(), "**Delete** removes it"),
        (errors.NothingToRepeat("picture"), "Please order with `/imagine`"),
        (errors.DefaultLeftOut("amigo", ("realism",), "picture"), "with `/settings picture-defaults` first"),
        (errors.PictureFailed(), "Please try again"),
        (errors.PictureLate(waited_s=600), "not done after 10 minutes"),
        (errors.PictureLate(waited_s=90), "not done after 90 seconds"),
        (errors.PictureUnusable("is a web page"), "that came back is a web page, so I do not show it. Please try"),
        (errors.LineFull(limit=1, own=True), "You have 1 order in line"),
        (errors.LineFull(limit=500, own=False), "500 orders in line already. Please try again"),
    ],
)
def test_a_refused_picture_says_why_and_what_helps(error: BotError, words: str) -> None:
    assert words in (explain(error, UNIT) or "")
