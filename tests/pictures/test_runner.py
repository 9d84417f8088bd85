"""An order's way, with a real database and ledger between the loopback Discord and API."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

import bot.delivery.rest
import bot.pictures.delivery
import bot.pictures.journal
import bot.pictures.runner
import bot.pictures.telling
from bot.answers.question import Asker
from bot.errors import CreditsRefused, LineFull, NothingToRepeat, NotPermitted, Overloaded, TooLate, UnknownModel
from bot.pictures import orders
from bot.pictures.delivery import Display, Make
from bot.pictures.drawing import TRIES
from bot.pictures.fetching import Fetcher
from bot.pictures.orders import Ending
from bot.pictures.request import Order
from bot.pictures.runner import PLACE_BY_CHANNEL_S, PLACE_S, _place_pause_s
from bot.pictures.showing import ENDINGS
from bot.pictures.tools import Patience
from bot.storage.errors import StorageFailed
from sandbox.discord.faults import Fault, Hold
from sandbox.minitoolai.picture_script import PictureScript, Served, Turn
from tests.e2e.house import labels
from tests.pictures.shop import HASTY, IMAGE_NANO, Shop, open_shop, words


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path) as opened:
        yield opened


# Delivered


async def test_one_picture_is_drawn_delivered_and_paid(shop: Shop) -> None:
    async with shop.running():
        order, message = await shop.place()
        await shop.delivered(message)
        assert message.attachments[0].description == "Picture drawn by realvision: a lighthouse at dusk"
        assert "1.5 credits ($0.0015)" in message.text()
        await shop.until_state(order, "delivered")
        assert await shop.charge(order) == ("finished", IMAGE_NANO, IMAGE_NANO, 1)
        assert await shop.holds() == 0


async def test_four_pictures_come_as_one_gallery(shop: Shop) -> None:
    async with shop.running():
        order, message = await shop.place(count=4)
        await shop.delivered(message, images=4)
        await shop.until_state(order, "delivered")
        assert await shop.charge(order) == ("finished", 4 * IMAGE_NANO, 4 * IMAGE_NANO, 4)
    assert len(message.attachments) == 4


async def test_what_is_drawn_is_shown_with_its_price_and_a_way_out(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running():
        _, message = await shop.place()
        await shop.said(message, "set apart for the picture")
        assert labels(message) == ["Cancel"]


async def test_the_same_interaction_is_one_order_however_often_it_comes(shop: Shop) -> None:
    async with shop.running():
        order, message = await shop.order()
        await asyncio.gather(*(shop.services.pictures.order(order, words) for _ in range(3)))
        await shop.delivered(message)
        await shop.until_state(order, "delivered")
        await shop.services.pictures.order(order, words)
        assert len(shop.api.pictures) == 1


async def test_what_cannot_be_paid_leaves_nothing_behind(shop: Shop) -> None:
    async with shop.running(DEFAULT_ALLOWANCE="1/day"):
        order, _ = await shop.order()
        with pytest.raises(CreditsRefused):
            await shop.services.pictures.order(order, words)
        assert await shop.rows("SELECT * FROM picture_orders") == []
        assert not shop.services.pictures._arriving
    assert not shop.api.pictures


async def test_a_model_that_does_not_exist_is_refused(shop: Shop) -> None:
    async with shop.running():
        order, _ = await shop.order(model="no-such-model")
        with pytest.raises(UnknownModel):
            await shop.services.pictures.order(order, words)
        assert await shop.holds() == 0


# What the API does


async def test_of_two_pictures_one_that_fails_is_not_paid(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(error="no"), PictureScript())
    async with shop.running():
        order, message = await shop.place(count=2)
        await shop.delivered(message)
        assert "1 of 2 failed, its credits came back. PictureFailed." in message.text()
        await shop.until_state(order, "delivered")
        assert await shop.charge(order) == ("finished", IMAGE_NANO, 2 * IMAGE_NANO, 1)


async def test_an_order_without_any_picture_is_paid_back_and_says_so(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(error="no"), PictureScript(error="no"))
    async with shop.running():
        order, message = await shop.place(count=2)
        await shop.said(message, "⚠️ PictureFailed. Nothing was charged.")
        assert labels(message) == ["Again", "Edit", "Delete"]
        assert await shop.charge(order) == ("failed", 0, 2 * IMAGE_NANO, 0)
        assert await shop.state(order) == "failed"


async def test_a_submission_that_is_turned_down_is_tried_again_and_costs_nobody(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(submit=Turn(status=503)), PictureScript())
    async with shop.running():
        order, _ = await shop.place()
        await shop.until_state(order, "delivered")
        assert await shop.charge(order) == ("finished", IMAGE_NANO, IMAGE_NANO, 1)


async def test_a_submission_whose_answer_is_lost_is_the_providers_due_and_not_the_users(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(answer_lost=True), PictureScript())
    async with shop.running():
        order, _ = await shop.place()
        await shop.until_state(order, "delivered")
        assert await shop.charge(order) == ("finished", IMAGE_NANO, 2 * IMAGE_NANO, 1)


async def test_a_request_that_the_api_refuses_costs_nobody(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(submit=Turn(status=400)))
    async with shop.running():
        order, message = await shop.place()
        await shop.said(message, "Nothing was charged.")
        assert await shop.charge(order) == ("refused", 0, 0, 0)


async def test_polls_that_fail_or_cannot_be_read_are_repeated(shop: Shop) -> None:
    polls = (Turn(status=500), Turn(body="<html>"), Turn(hang_up=True), Turn(status=404))
    shop.api.script_picture(PictureScript(polls=polls))
    async with shop.running():
        order, _ = await shop.place()
        await shop.until_state(order, "delivered")
    assert shop.api.pictures[0].polls == len(polls) + 1


async def test_a_picture_that_is_not_done_by_its_deadline_is_paid_back(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running(PICTURE_TIMEOUT_S="10") as services:
        services.pictures._tools.drawer._timeout_s = 0.2
        order, message = await shop.place()
        await shop.said(message, "PictureLate. Nothing was charged.")
        assert await shop.charge(order) == ("failed", 0, IMAGE_NANO, 0)


async def test_what_is_no_picture_is_paid_back(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(serves=Served(body=b"<!doctype html><p>sorry")))
    async with shop.running():
        order, message = await shop.place()
        await shop.said(message, "PictureUnusable. Nothing was charged.")
        assert await shop.charge(order) == ("failed", 0, IMAGE_NANO, 0)


async def test_a_download_that_breaks_is_repeated(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(serves=Served(turn=Turn(status=404))), PictureScript())
    async with shop.running():
        order, message = await shop.place(count=2)
        await shop.until_state(order, "delivered")
        assert (await shop.charge(order))[3] == 1
        assert "ProviderFailed" in message.text()
    assert len(shop.api.pictures[0].downloaded_at) == 3


async def test_a_picture_is_made_to_fit_what_discord_takes(shop: Shop) -> None:
    async with shop.running():
        order, message = await shop.place(upload_limit_bytes=20_000)
        await shop.delivered(message)
        await shop.until_state(order, "delivered")
    assert message.attachments[0].size <= 20_000
    assert "made smaller to fit" in message.text()


async def test_of_a_moving_picture_that_had_to_be_smaller_it_is_said_that_it_stands_still(shop: Shop) -> None:
    frames = [Image.effect_noise((320, 240), 80) for _ in range(2)]
    file = BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    shop.api.script_picture(PictureScript(serves=Served(body=file.getvalue())))
    async with shop.running():
        order, message = await shop.place(upload_limit_bytes=20_000)
        await shop.delivered(message)
        await shop.until_state(order, "delivered")
    assert "made smaller to fit · its first frame alone" in message.text()


async def test_an_error_that_nobody_foresaw_ends_the_order_and_pays_it_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(Fetcher, "fetch", broken)
    async with shop.running():
        order, message = await shop.place()
        await shop.said(message, "RuntimeError. Nothing was charged.")
        assert await shop.charge(order) == ("failed", 0, IMAGE_NANO, 0)


async def test_a_database_that_fails_for_a_moment_loses_no_order(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    async with shop.running() as services:
        database = services.pictures._database
        real, failures = database.write, iter([True, False, True, False, True])

        async def failing(*args: object, **options: object) -> object:
            if next(failures, False):
                raise StorageFailed("the disk is full")
            return await real(*args, **options)  # type: ignore[arg-type]

        order, _ = await shop.order()
        await services.pictures.order(order, words)
        monkeypatch.setattr(database, "write", failing)
        await shop.until_state(order, "delivered")
        assert await shop.charge(order) == ("finished", IMAGE_NANO, IMAGE_NANO, 1)


# What becomes of the message


async def test_after_fifteen_minutes_the_bots_own_routes_deliver(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running():
        order, message = await shop.place()
        await shop.said(message, "Drawing your picture.")
        shop.discord.clock.advance(16 * 60)
        shop.api.release_pictures()
        await shop.delivered(message)
        await shop.until_state(order, "delivered")
    assert any(r.method == "PATCH" and r.path.endswith(f"/messages/{message.id}") for r in shop.discord.requests)
    assert not shop.dms()


async def test_a_message_that_was_deleted_meanwhile_is_made_up_for_by_a_direct_one(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running():
        order, message = await shop.place()
        await shop.said(message, "Drawing your picture.")
        shop.discord.world.delete_message(message)
        shop.api.release_pictures()
        await shop.until_state(order, "delivered")
        (dm,) = shop.dms()
        assert "was deleted" in dm.text()
        assert len(dm.attachments) == 1
        assert await shop.charge(order) == ("finished", IMAGE_NANO, IMAGE_NANO, 1)
        stored = await shop.services.pictures.stored(order.id, by=order.asker.id, at=dm.channel.id)
        assert stored.messages == ((message.channel.id, message.id), (dm.channel.id, dm.id))


async def test_a_channel_that_was_deleted_meanwhile_is_made_up_for_by_a_direct_message(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running():
        order, message = await shop.place()
        await shop.said(message, "Drawing your picture.")
        shop.discord.world.delete_channel(shop.channel)
        shop.api.release_pictures()
        await shop.until_state(order, "delivered")
    assert len(shop.dms()) == 1


async def test_a_private_order_whose_token_has_ended_comes_by_direct_message(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running():
        order, message = await shop.place(private=True)
        await shop.said(message, "Drawing your picture.")
        shop.discord.clock.advance(16 * 60)
        shop.api.release_pictures()
        await shop.until_state(order, "delivered")
    assert len(shop.dms()) == 1


async def test_where_nothing_reaches_the_owner_the_credits_go_back(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True))
    shop.discord.faults.add(
        Fault(method="POST", template="/users/@me/channels", times=None, status=403, error_code=50007)
    )
    async with shop.running():
        order, message = await shop.place()
        await shop.said(message, "Drawing your picture.")
        shop.discord.world.delete_message(message)
        shop.api.release_pictures()
        await shop.until_state(order, "undelivered")
        assert await shop.charge(order) == ("undelivered", 0, IMAGE_NANO, 0)


async def test_a_discord_that_is_away_for_a_moment_gets_the_picture_later(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running(patience=Patience(route_s=30.0, pause_s=0.05, pause_most_s=0.1)):
        order, message = await shop.place()
        await shop.said(message, "Drawing your picture.")
        away = shop.discord.faults.add(Fault(method="PATCH", template="/webhooks/…", times=6, status=503))
        shop.api.release_pictures()
        await shop.delivered(message, timeout_s=20)
        await shop.until_state(order, "delivered")
    assert away.hits == 6
    assert not shop.dms()


async def test_a_way_that_stays_shut_is_given_up_for_a_direct_message(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running():
        order, message = await shop.place()
        await shop.said(message, "Drawing your picture.")
        shop.discord.faults.add(Fault(method="PATCH", times=None, status=503))
        shop.api.release_pictures()
        await shop.discord.wait_until(lambda: bool(shop.dms()), timeout_s=25)
        await shop.until_state(order, "delivered")
    assert [len(one.attachments) for one in (message, *shop.dms())] == [0, 1]


async def test_an_upload_whose_answer_is_lost_is_delivered_and_paid_once(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running():
        order, message = await shop.place()
        await shop.said(message, "Drawing your picture.")
        shop.discord.faults.add(Fault(method="PATCH", template="/webhooks/…", carried_out=True, drop=True))
        shop.api.release_pictures()
        await shop.until_state(order, "delivered")
        assert await shop.charge(order) == ("finished", IMAGE_NANO, IMAGE_NANO, 1)
    assert len(message.attachments) == 1


async def test_a_late_edit_of_the_progress_does_not_stay_over_the_end(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running():
        order, message = await shop.place()
        await shop.said(message, "Drawing your picture.")
        came = asyncio.Event()

        def is_edit(method: str, _: str) -> bool:
            came.set()
            return method == "PATCH"

        shop.discord.faults.add(Fault(when=is_edit, delay_s=4.5))
        async with asyncio.timeout(30):
            await came.wait()
        shop.api.release_pictures()
        await shop.until_state(order, "delivered")
        states = [state.content for state in message.edits]
        assert "Drawing" not in states[-1], "the end did not wait for it"
        await shop.discord.wait_until(
            lambda: len(message.edits) >= len(states) + 2, timeout_s=30, what="landed late, and mended"
        )
        await shop.delivered(message)
        assert "set apart" not in message.text()


async def test_files_that_discord_finds_too_large_are_made_smaller(shop: Shop) -> None:
    shop.guild.upload_limit_bytes = 30_000
    async with shop.running():
        order, message = await shop.place(upload_limit_bytes=100_000)
        await shop.delivered(message)
        await shop.until_state(order, "delivered")
    assert message.attachments[0].size <= 30_000


async def test_an_end_is_told_by_direct_message_where_the_private_reply_is_out_of_reach(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True, error="no"))
    async with shop.running():
        order, message = await shop.place(private=True)
        await shop.said(message, "Drawing your picture.")
        shop.discord.clock.advance(16 * 60)
        shop.api.release_pictures()
        await shop.until_state(order, "failed")
        await shop.until("SELECT 1 FROM picture_orders WHERE untold IS NULL")
        (dm,) = shop.dms()
        assert "PictureFailed. Nothing was charged." in dm.text()


async def test_what_is_on_its_way_is_neither_cancelled_nor_deleted(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(serves=Served(turn=Turn(held=True))))
    async with shop.running() as services:
        order, message = await shop.place()
        picture = await shop.api.wait_for_picture()
        await picture.until(lambda one: bool(one.downloaded_at))
        shop.discord.faults.add(Fault(method="PATCH", times=1, delay_s=3.0))
        shop.api.release_pictures()
        await shop.until_state(order, "uploading")
        who = {"by": order.asker.id, "at": message.channel.id, "moderator": False}
        with pytest.raises(TooLate):
            await services.pictures.cancel(order.id, **who)
        with pytest.raises(TooLate):
            await services.pictures.delete(order.id, **who)
        await shop.delivered(message)
        assert await services.pictures.delete(order.id, **who)


# Cancel, delete, and who may


async def test_cancelling_pays_back_and_says_so(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running() as services:
        order, message = await shop.place()
        await shop.said(message, "Drawing your picture.")
        await services.pictures.cancel(order.id, by=order.asker.id, at=message.channel.id, moderator=False)
        await shop.said(message, "⏹️ Cancelled. Nothing was charged.")
        assert await shop.charge(order) == ("cancelled", 0, IMAGE_NANO, 0)
        await services.pictures.cancel(order.id, by=order.asker.id, at=message.channel.id, moderator=False)
        assert await shop.charge(order) == ("cancelled", 0, IMAGE_NANO, 0)


async def test_an_order_that_was_left_to_the_next_start_is_cancelled_and_says_so(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.api.script_picture(PictureScript(held=True))
    monkeypatch.setattr(bot.pictures.journal, "PAUSES_S", ())
    monkeypatch.setattr(bot.pictures.journal, "TRIES", 0)
    async with shop.running() as services:
        database = services.pictures._database
        real, disk_is_full = database.write, True

        async def failing(*args: object, **options: object) -> object:
            if disk_is_full:
                raise StorageFailed("the disk is full")
            return await real(*args, **options)  # type: ignore[arg-type]

        order, message = await shop.order()
        await services.pictures.order(order, words)
        monkeypatch.setattr(database, "write", failing)
        async with asyncio.timeout(30):
            while services.pictures._runner.knows(order.id):  # noqa: ASYNC110 - the runner tells nobody of what it leaves
                await asyncio.sleep(0.01)
        disk_is_full = False
        await services.pictures.cancel(order.id, by=order.asker.id, at=message.channel.id, moderator=False)
        await shop.said(message, "⏹️ Cancelled. Nothing was charged.")
        assert await shop.charge(order) == ("cancelled", 0, 0, 0)


async def test_cancelling_during_the_submission_books_what_the_api_may_have_taken(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(submit=Turn(held=True)))
    async with shop.running() as services:
        order, message = await shop.place()
        await shop.api.wait_for_picture()
        await services.pictures.cancel(order.id, by=order.asker.id, at=message.channel.id, moderator=False)
        await shop.said(message, "⏹️ Cancelled. Nothing was charged.")
        assert await shop.charge(order) == ("cancelled", 0, IMAGE_NANO, 0)


async def test_who_did_not_order_cancels_only_as_a_moderator_and_only_there(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True))
    noam = shop.noam.user.id
    async with shop.running() as services:
        order, message = await shop.place()
        with pytest.raises(NotPermitted):
            await services.pictures.cancel(order.id, by=noam, at=message.channel.id, moderator=False)
        with pytest.raises(NothingToRepeat):
            await services.pictures.cancel(order.id, by=noam, at=message.channel.id + 1, moderator=True)
        await services.pictures.cancel(order.id, by=noam, at=message.channel.id, moderator=True)
        assert await shop.state(order) == "cancelled"


async def test_a_cancellation_and_a_delivery_cannot_both_win(shop: Shop) -> None:
    async with shop.running() as services:
        for _ in range(6):
            order, message = await shop.place()
            picture = await shop.api.wait_for_picture()
            await picture.until(lambda one: bool(one.downloaded_at))
            try:
                await services.pictures.cancel(order.id, by=order.asker.id, at=message.channel.id, moderator=False)
            except TooLate:
                await shop.delivered(message)
                await shop.until_state(order, "delivered")
                assert (await shop.charge(order))[:2] == ("finished", IMAGE_NANO)
            else:
                await shop.said(message, "Cancelled.")
                assert (await shop.charge(order))[:2] == ("cancelled", 0)
                assert not message.attachments


async def test_deleting_an_order_under_way_ends_it_and_forgets_what_was_asked(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running() as services:
        order, message = await shop.place()
        await shop.said(message, "Drawing your picture.")
        there = await services.pictures.delete(order.id, by=order.asker.id, at=message.channel.id, moderator=False)
        assert there == ((message.channel.id, message.id),)
        assert await shop.charge(order) == ("cancelled", 0, IMAGE_NANO, 0)
        with pytest.raises(NothingToRepeat):
            await services.pictures.stored(order.id, by=order.asker.id, at=message.channel.id)
        assert (await shop.rows("SELECT asked FROM picture_orders"))[0]["asked"] == ""
        shop.api.release_pictures()
    assert not shop.dms()


async def test_deleting_delivered_pictures_keeps_what_was_paid(shop: Shop) -> None:
    async with shop.running() as services:
        order, message = await shop.place()
        await shop.until_state(order, "delivered")
        await services.pictures.delete(order.id, by=order.asker.id, at=message.channel.id, moderator=False)
        assert await shop.state(order) == "deleted"
        assert (await shop.charge(order))[:2] == ("finished", IMAGE_NANO)


async def test_a_private_order_is_its_owners_alone(shop: Shop) -> None:
    async with shop.running() as services:
        order, message = await shop.place(private=True)
        await shop.until_state(order, "delivered")
        stored = await services.pictures.stored(order.id, by=order.asker.id, at=message.channel.id)
        assert stored.order.picture == order.picture
        with pytest.raises(NothingToRepeat):
            await services.pictures.stored(order.id, by=shop.noam.user.id, at=message.channel.id)


# The line


async def test_what_is_over_a_members_bound_waits_in_line_with_its_place(shop: Shop) -> None:
    shop.api.picture_answer = lambda _: PictureScript(held=True)
    async with shop.running(PICTURE_ORDERS_PER_MEMBER="1") as services:
        first, shown = await shop.place()
        second, waiting = await shop.place()
        third, last = await shop.place()
        await shop.said(waiting, "1st in line")
        await shop.said(last, "2nd in line")
        assert len(shop.api.pictures) <= 1
        await services.pictures.cancel(second.id, by=second.asker.id, at=waiting.channel.id, moderator=False)
        await shop.said(waiting, "Cancelled. Nothing was charged.")
        assert await shop.charge(second) == ("cancelled", 0, 0, 0)
        await shop.said(last, "1st in line")
        shop.api.release_pictures()
        await shop.delivered(shown)
        await shop.delivered(last)
        await shop.until_state(third, "delivered")
        assert await shop.state(first) == "delivered"


async def test_a_line_that_is_full_takes_no_more(shop: Shop) -> None:
    shop.api.picture_answer = lambda _: PictureScript(held=True)
    bounds = {"PICTURE_ORDERS_PER_MEMBER": "1", "PICTURE_LINE_PER_MEMBER": "1", "PICTURE_LINE": "2"}
    async with shop.running(**bounds) as services:
        await shop.place()
        await shop.place()
        order, _ = await shop.order()
        asker = Asker(id=order.asker.id, name="Dana")
        with pytest.raises(LineFull) as own:
            services.pictures.check("realvision", asker, order.place)
        with pytest.raises(LineFull):
            await services.pictures.order(order, words)
        assert own.value.own
        assert own.value.limit == 1
        await shop.place(shop.noam)  # others are not at their bound
        assert await shop.holds() == 3


async def test_orders_that_come_at_the_same_moment_fill_the_line_and_no_more(shop: Shop) -> None:
    shop.api.picture_answer = lambda _: PictureScript(held=True)
    async with shop.running(PICTURE_ORDERS_PER_MEMBER="2", PICTURE_LINE_PER_MEMBER="3") as services:
        asked = [(await shop.order())[0] for _ in range(8)]
        results = await asyncio.gather(
            *(services.pictures.order(order, words) for order in asked), return_exceptions=True
        )
        assert [type(result) for result in results] == [type(None)] * 5 + [LineFull] * 3
        assert await shop.holds() == 5


async def test_who_stops_takes_no_orders(shop: Shop) -> None:
    async with shop.running() as services:
        order, _ = await shop.order()
        await services.pictures.close()
        with pytest.raises(Overloaded):
            await services.pictures.order(order, words)


# Restarts


async def test_an_order_in_line_is_in_line_again_after_a_restart(shop: Shop) -> None:
    shop.api.picture_answer = lambda _: PictureScript(held=True)
    async with shop.running(PICTURE_ORDERS_PER_MEMBER="1"):
        _, first = await shop.place()
        order, second = await shop.place()
        _, third = await shop.place()
        await shop.said(third, "2nd in line")
    shop.api.release_pictures()
    async with shop.running(PICTURE_ORDERS_PER_MEMBER="1"):
        for message in (first, second, third):
            await shop.delivered(message)
        await shop.until_state(order, "delivered")
        assert await shop.charge(order) == ("finished", IMAGE_NANO, IMAGE_NANO, 1)


async def test_a_death_during_the_submission_costs_the_operator_and_not_the_user(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(submit=Turn(held=True)), PictureScript())
    async with shop.running():
        order, message = await shop.place()
        await shop.api.wait_for_picture()
    async with shop.running():
        await shop.delivered(message)
        await shop.until_state(order, "delivered")
        assert await shop.charge(order) == ("finished", IMAGE_NANO, 2 * IMAGE_NANO, 1)


async def test_a_job_is_asked_about_again_after_a_restart_and_not_ordered_twice(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running():
        order, message = await shop.place()
        await (await shop.api.wait_for_picture()).until(lambda one: one.polls > 0)
    shop.api.release_pictures()
    async with shop.running():
        await shop.delivered(message)
        await shop.until_state(order, "delivered")
        assert await shop.charge(order) == ("finished", IMAGE_NANO, IMAGE_NANO, 1)
    assert len(shop.api.pictures) == 1


async def test_after_a_long_absence_a_picture_is_asked_about_once_before_it_is_given_up(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running():
        order, message = await shop.place()
        await (await shop.api.wait_for_picture()).until(lambda one: one.polls > 0)
    shop.api.release_pictures()
    shop.discord.clock.advance(3_600)
    async with shop.running():
        await shop.delivered(message)
        await shop.until_state(order, "delivered")
    assert len(message.attachments) == 1


async def test_a_death_during_the_download_loses_nothing(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(serves=Served(turn=Turn(held=True))))
    async with shop.running():
        order, message = await shop.place()
        picture = await shop.api.wait_for_picture()
        await picture.until(lambda one: bool(one.downloaded_at))
    shop.api.release_pictures()
    async with shop.running():
        await shop.delivered(message)
        await shop.until_state(order, "delivered")
        assert await shop.charge(order) == ("finished", IMAGE_NANO, IMAGE_NANO, 1)


@pytest.mark.parametrize("carried_out", [True, False])
async def test_a_death_during_the_upload_delivers_and_charges_once(shop: Shop, carried_out: bool) -> None:
    shop.api.script_picture(PictureScript(serves=Served(turn=Turn(held=True))))
    async with shop.running():
        order, message = await shop.place()
        picture = await shop.api.wait_for_picture()
        await picture.until(lambda one: bool(one.downloaded_at))
        await asyncio.sleep(0)
        shop.discord.faults.add(
            Fault(method="PATCH", template="/webhooks/…", times=None, drop=True, carried_out=carried_out, delay_s=0.05)
        )
        shop.api.release_pictures()
        await shop.until_state(order, "uploading")
        if carried_out:
            await shop.discord.wait_until(lambda: bool(message.attachments))
    shop.discord.faults.clear()
    shown = [one.id for one in message.attachments]
    async with shop.running():
        await shop.delivered(message)
        await shop.until_state(order, "delivered")
        assert await shop.charge(order) == ("finished", IMAGE_NANO, IMAGE_NANO, 1)
    if carried_out:
        assert [one.id for one in message.attachments] == shown, "what had arrived was not sent again"


async def test_a_death_after_a_direct_message_sends_no_second_one(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running():
        order, message = await shop.place()
        await shop.said(message, "Drawing your picture.")
        shop.discord.world.delete_message(message)
        shop.discord.faults.add(
            Fault(method="POST", template="/channels/…/messages", times=None, drop=True, carried_out=True)
        )
        shop.api.release_pictures()
        await shop.discord.wait_until(lambda: bool(shop.dms()))
    shop.discord.faults.clear()
    shop.discord.clock.advance(10 * 60)  # Discord has forgotten the nonce
    async with shop.running():
        await shop.until_state(order, "delivered")
        assert await shop.charge(order) == ("finished", IMAGE_NANO, IMAGE_NANO, 1)
    assert len(shop.dms()) == 1


async def test_an_end_that_a_death_left_unsaid_is_said_at_the_next_start(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running() as services:
        order, message = await shop.place()
        await shop.said(message, "Drawing your picture.")
        shop.discord.faults.add(Fault(method="PATCH", times=None, status=503))
        await services.pictures.cancel(order.id, by=order.asker.id, at=message.channel.id, moderator=False)
    shop.discord.faults.clear()
    async with shop.running():
        await shop.said(message, "⏹️ Cancelled. Nothing was charged.")
        await shop.until("SELECT 1 FROM picture_orders WHERE untold IS NULL")
        assert (await shop.rows("SELECT interaction_token FROM picture_orders"))[0]["interaction_token"] == ""
        assert await shop.charge(order) == ("cancelled", 0, IMAGE_NANO, 0)


async def test_nothing_starts_before_discord_is_ready(shop: Shop) -> None:
    async with shop.running(resumed=False) as services:
        order, message = await shop.place()
        assert await shop.state(order) == "waiting"
        await services.pictures.resume(words)
        await shop.delivered(message)


async def test_estimates_outlive_a_restart(shop: Shop) -> None:
    async with shop.running():
        order, _ = await shop.place()
        await shop.until_state(order, "delivered")
    async with shop.running() as services:
        assert services.pictures._tools.drawer.expected_s(order) is not None


async def test_hundreds_are_open_at_once(shop: Shop) -> None:
    shop.api.picture_answer = lambda _: PictureScript(held=True)
    bounds = {"PICTURE_ORDERS_PER_MEMBER": "100", "PICTURE_ORDERS_PER_SERVER": "1000"}
    async with shop.running(**bounds):
        placed = await asyncio.gather(*(shop.place() for _ in range(60)))
        await shop.discord.wait_until(lambda: len(shop.api.pictures) == 60)
        shop.api.release_pictures()
        for order, message in placed:
            await shop.delivered(message, timeout_s=30)
            await shop.until_state(order, "delivered")
        assert await shop.holds() == 0


# The edges


async def end_on_disk(shop: Shop, order: Order, *, untold: str | None = None) -> None:
    """As somebody ends it whose word has not reached the runner yet."""
    ending = Ending(state="cancelled", reason="cancelled", untold=untold)
    at = datetime.fromtimestamp(shop.discord.clock.now(), UTC)
    assert await shop.services.pictures._database.write(lambda tx: orders.end(tx, order.id, ending, at=at))


async def forgotten(shop: Shop, order: Order) -> None:
    """Return once the runner sees to an order no more, which it tells nobody."""
    async with asyncio.timeout(30):
        while shop.services.pictures._runner.knows(order.id):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


async def quiet(shop: Shop, name: str) -> None:
    """Return once the runner has no task of that name any more."""
    async with asyncio.timeout(30):
        while any(task.get_name().startswith(name) for task in shop.services.pictures._runner._tasks):  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(0.01)


async def test_an_order_that_ended_before_its_turn_is_not_drawn(shop: Shop) -> None:
    async with shop.running(resumed=False) as services:
        order, message = await shop.place()
        await end_on_disk(shop, order)
        await services.pictures.resume(words)
        await forgotten(shop, order)
        assert await shop.charge(order) == ("cancelled", 0, 0, 0)
    assert not shop.api.pictures
    assert not message.text()


async def test_an_order_that_ended_during_a_submission_is_not_submitted_again(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(submit=Turn(status=503, held=True)))
    async with shop.running():
        order, _ = await shop.place()
        await shop.api.wait_for_picture()
        await end_on_disk(shop, order)
        shop.api.release_pictures()
        await forgotten(shop, order)
        assert (await shop.charge(order))[:2] == ("cancelled", 0)
    assert len(shop.api.pictures) == 1


async def test_an_order_that_ended_before_it_failed_keeps_its_end(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True, error="no"))
    async with shop.running():
        order, message = await shop.place()
        await shop.said(message, "Drawing your picture.")
        await end_on_disk(shop, order)
        shop.api.release_pictures()
        await forgotten(shop, order)
        assert await shop.charge(order) == ("cancelled", 0, IMAGE_NANO, 0)
        assert await shop.state(order) == "cancelled"
    assert "PictureFailed" not in message.text()


async def test_a_picture_that_process_after_process_submitted_in_vain_is_given_up(shop: Shop) -> None:
    async with shop.running(resumed=False) as services:
        order, message = await shop.place()
        await services.pictures._database.write(
            lambda tx: tx.execute("UPDATE pictures SET tries = ? WHERE order_id = ?", (TRIES, order.id))
        )
    async with shop.running():
        await shop.said(message, "PictureFailed. Nothing was charged.")
        assert await shop.charge(order) == ("failed", 0, TRIES * IMAGE_NANO, 0)
    assert not shop.api.pictures


async def test_a_picture_that_cannot_be_made_to_fit_is_paid_back(shop: Shop) -> None:
    async with shop.running():
        order, message = await shop.place(upload_limit_bytes=20)
        await shop.said(message, "PictureUnusable. Nothing was charged.")
        assert await shop.charge(order) == ("failed", 0, IMAGE_NANO, 0)
    assert not message.attachments


async def test_an_unforeseen_error_after_the_arrival_takes_nothing_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Display.deliver

    async def broken(self: Display, make: Make) -> None:
        await real(self, make)
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(Display, "deliver", broken)
    async with shop.running():
        order, message = await shop.place()
        await shop.until_state(order, "delivered")
        assert await shop.charge(order) == ("finished", IMAGE_NANO, IMAGE_NANO, 1)
        await shop.delivered(message)


async def test_an_upload_that_arrived_is_paid_though_its_repetition_was_refused(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running():
        order, message = await shop.place()
        await shop.said(message, "Drawing your picture.")
        shop.discord.faults.add(Fault(method="PATCH", template="/webhooks/…", carried_out=True, drop=True))
        shop.discord.faults.add(Fault(method="PATCH", template="/webhooks/…", status=400, error_code=50035))
        shop.api.release_pictures()
        await shop.until_state(order, "delivered")
        assert await shop.charge(order) == ("finished", IMAGE_NANO, IMAGE_NANO, 1)
    assert len(message.attachments) == 1


async def test_where_no_way_is_open_to_the_end_the_credits_go_back_and_the_end_stays_unsaid(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot.pictures.telling, "PAUSES_S", (0.0,))
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running(patience=replace(HASTY, route_s=0.0)):
        order, message = await shop.place()
        await shop.said(message, "Drawing your picture.")
        shop.discord.faults.add(Fault(method="PATCH", times=None, error_code=40333))
        direct = shop.discord.faults.add(
            Fault(method="POST", template="/channels/…/messages", times=None, error_code=40333)
        )
        shop.api.release_pictures()
        await shop.until_state(order, "undelivered")
        assert await shop.charge(order) == ("undelivered", 0, IMAGE_NANO, 0)
        await forgotten(shop, order)
        assert direct.hits > 0
        assert (await shop.rows("SELECT untold FROM picture_orders"))[0]["untold"] == ENDINGS["undelivered"]
    shop.discord.faults.clear()
    async with shop.running():
        await shop.said(message, ENDINGS["undelivered"])
        await shop.until("SELECT 1 FROM picture_orders WHERE untold IS NULL")
    assert not shop.dms()


async def test_a_direct_message_that_arrived_unseen_is_found_before_it_is_repeated(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot.delivery.rest, "BACKOFF_S", 0.01)
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running():
        order, message = await shop.place()
        await shop.said(message, "Drawing your picture.")
        shop.discord.world.delete_message(message)
        lost = shop.discord.faults.add(
            Fault(method="POST", template="/channels/…/messages", times=5, drop=True, carried_out=True)
        )
        blind = shop.discord.faults.add(Fault(method="GET", template="/channels/…/messages", times=3, status=503))
        shop.api.release_pictures()
        await shop.until_state(order, "delivered")
        assert await shop.charge(order) == ("finished", IMAGE_NANO, IMAGE_NANO, 1)
    assert (lost.hits, blind.hits) == (5, 3)
    posts = [
        one
        for one in shop.discord.requests
        if (one.method, one.template) == ("POST", "/channels/{channel_id}/messages")
    ]
    assert len(posts) == 5, "found, and not left to a nonce that Discord may have forgotten"
    assert len(shop.dms()) == 1


async def test_another_orders_direct_message_is_not_taken_for_this_ones(shop: Shop) -> None:
    async with shop.running():
        for number in range(2):
            if number:
                shop.discord.faults.add(Fault(method="POST", template="/channels/…/messages", error_code=40333))
            shop.api.script_picture(PictureScript(held=True))
            order, message = await shop.place()
            await shop.said(message, "Drawing your picture.")
            shop.discord.world.delete_message(message)
            shop.api.release_pictures()
            await shop.until_state(order, "delivered")
            assert len(shop.dms()) == number + 1


async def test_whoever_cannot_be_asked_what_arrived_is_sent_it_again(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(serves=Served(turn=Turn(held=True))))
    async with shop.running():
        order, message = await shop.place()
        await (await shop.api.wait_for_picture()).until(lambda one: bool(one.downloaded_at))
        shop.discord.faults.add(Fault(method="PATCH", template="/webhooks/…", times=None, drop=True, delay_s=0.05))
        shop.api.release_pictures()
        await shop.until_state(order, "uploading")
    shop.discord.faults.clear()
    refused = shop.discord.faults.add(Fault(method="GET", times=None, status=400, error_code=50035))
    async with shop.running():
        await shop.delivered(message)
        await shop.until_state(order, "delivered")
        assert await shop.charge(order) == ("finished", IMAGE_NANO, IMAGE_NANO, 1)
    assert refused.hits == 1


async def test_before_discord_is_ready_what_is_on_its_way_is_not_deleted(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(serves=Served(turn=Turn(held=True))))
    async with shop.running():
        order, message = await shop.place()
        await (await shop.api.wait_for_picture()).until(lambda one: bool(one.downloaded_at))
        shop.discord.faults.add(Fault(method="PATCH", template="/webhooks/…", times=None, drop=True, delay_s=0.05))
        shop.api.release_pictures()
        await shop.until_state(order, "uploading")
    shop.discord.faults.clear()
    async with shop.running(resumed=False) as services:
        with pytest.raises(TooLate):
            await services.pictures.delete(order.id, by=order.asker.id, at=message.channel.id, moderator=False)
        assert await shop.state(order) == "uploading"
        await services.pictures.resume(words)
        await shop.delivered(message)


async def test_starting_again_starts_no_order_again(shop: Shop) -> None:
    shop.api.picture_answer = lambda _: PictureScript(held=True)
    async with shop.running(resumed=False) as services:
        order, message = await shop.place()
        for _ in range(2):
            await services.pictures.resume(words)
        await shop.said(message, "Drawing your picture.")
        runner = services.pictures._runner
        tasks = set(runner._tasks)
        runner.start(words)
        assert runner._tasks == tasks
        shop.api.release_pictures()
        await shop.delivered(message)
        await shop.until_state(order, "delivered")
        assert await shop.charge(order) == ("finished", IMAGE_NANO, IMAGE_NANO, 1)
    assert len(shop.api.pictures) == 1


async def test_an_order_under_way_that_comes_after_the_start_goes_on_at_once(shop: Shop) -> None:
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running():
        order, message = await shop.place()
        await (await shop.api.wait_for_picture()).until(lambda one: one.polls > 0)
    shop.api.release_pictures()
    async with shop.running(resumed=False) as services:
        runner = services.pictures._runner
        (stored,) = [entry.stored for entry in runner._entries.values()]
        runner._entries.clear()
        runner._running.clear()
        await services.pictures.resume(words)
        runner.add(stored)
        await shop.delivered(message)
        await shop.until_state(order, "delivered")
    assert len(shop.api.pictures) == 1


async def test_whose_end_is_being_seen_to_is_not_told_of_it_by_the_start(shop: Shop) -> None:
    shop.api.picture_answer = lambda _: PictureScript(held=True)
    async with shop.running(resumed=False, PICTURE_ORDERS_PER_MEMBER="1") as services:
        _, first = await shop.place()
        waiting, message = await shop.place()
        await end_on_disk(shop, waiting, untold="⏹️ Told by the start.")
        await services.pictures.resume(words)
        await shop.said(first, "Drawing your picture.")
        assert not any("last words" in task.get_name() for task in services.pictures._runner._tasks)
        assert "Told by the start" not in message.text()


async def test_after_the_close_nothing_is_told_any_more(shop: Shop) -> None:
    async with shop.running() as services:
        order, message = await shop.place()
        await shop.until_state(order, "delivered")
        stored = await services.pictures.stored(order.id, by=order.asker.id, at=message.channel.id)
        await quiet(shop, "order ")
        runner = services.pictures._runner
        await runner.close()
        runner.tell(stored, "⏹️ Too late.")
        assert not runner._tasks


async def test_a_task_that_does_not_stop_does_not_hold_up_the_end(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bot.pictures.runner, "CLOSE_S", 0.05)
    fetching, go_on = asyncio.Event(), asyncio.Event()

    async def stubborn(*_: object) -> None:
        fetching.set()
        try:
            await asyncio.Event().wait()
        finally:
            await go_on.wait()

    monkeypatch.setattr(Fetcher, "fetch", stubborn)
    async with shop.running() as services:
        order, _ = await shop.place()
        async with asyncio.timeout(30):
            await fetching.wait()
            await services.pictures._runner.close()
        assert "1 tasks about pictures did not stop within 0.05 s" in caplog.text
        assert await shop.state(order) == "open"
        go_on.set()
        await quiet(shop, "order ")


async def test_pictures_that_arrived_stay_shown_where_their_end_cannot_be_written(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bot.pictures.journal, "PAUSES_S", ())
    monkeypatch.setattr(bot.pictures.journal, "TRIES", 0)
    async with shop.running() as services:
        database = services.pictures._database
        real = database.write
        order, message = await shop.order()

        async def failing(*args: object, **options: object) -> object:
            if message.attachments:
                raise StorageFailed("the disk is full")
            return await real(*args, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(database, "write", failing)
        await services.pictures.order(order, words)
        await forgotten(shop, order)
        assert len(message.attachments) == 1
        assert "Paused" not in message.text()
        monkeypatch.setattr(database, "write", real)
        assert await shop.state(order) == "uploading"
    async with shop.running():
        await shop.until_state(order, "delivered")
        assert await shop.charge(order) == ("finished", IMAGE_NANO, IMAGE_NANO, 1)
    assert len(message.attachments) == 1


async def test_the_places_of_a_long_line_are_shown_too(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bot.pictures.runner, "LONG_LINE", 2)
    shop.api.picture_answer = lambda _: PictureScript(held=True)
    async with shop.running(PICTURE_ORDERS_PER_MEMBER="1"):
        await shop.place()
        _, second = await shop.place()
        _, third = await shop.place()
        await shop.said(third, "2nd in line")
        await shop.said(second, "1st in line")
        assert "2nd in line" in third.text()


async def test_a_place_that_is_shown_by_the_channels_routes_is_shown_seldom(shop: Shop) -> None:
    shop.api.picture_answer = lambda _: PictureScript(held=True)
    async with shop.running(PICTURE_ORDERS_PER_MEMBER="1") as services:
        await shop.place()
        order, message = await shop.place()
        await shop.said(message, "1st in line")
        entry = services.pictures._runner._entries[order.id]
        assert _place_pause_s(entry, 1) == PLACE_S
        shop.discord.clock.advance(16 * 60)
        assert _place_pause_s(entry, 1) == PLACE_BY_CHANNEL_S


async def test_a_late_edit_of_the_progress_needs_no_mending_where_the_reply_is_gone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BUSY_S", "GRACE_S"):
        monkeypatch.setattr(bot.pictures.delivery, name, 0.1)
    shop.api.script_picture(PictureScript(held=True))
    async with shop.running():
        order, message = await shop.place()
        await shop.said(message, "Drawing your picture.")
        hold = shop.discord.faults.hold(Hold(method="PATCH"))
        async with asyncio.timeout(30):
            await hold.reached.wait()
        shop.discord.world.delete_message(message)
        shop.api.release_pictures()
        await shop.until_state(order, "delivered")
        edits = [request for request in shop.discord.requests if request.method == "PATCH"]
        hold.let_go()
        await forgotten(shop, order)
        assert len(shop.dms()) == 1
        after = [request for request in shop.discord.requests if request.method == "PATCH"]
        assert after == edits
