"""`/usage` from the command to the message, the picture and the file."""

import io
import itertools
import sys
from dataclasses import replace
from datetime import UTC, datetime

from PIL import Image

from bot.credits.policy import BLOCKED, DIRECT_SCOPE, Allowance
from bot.credits.rules import Consumed, Reason
from bot.credits.values import HoldRequest
from bot.guilds import Decision, Target
from bot.money import NanoDollars
from bot.ops.plotter import Plotter
from sandbox.discord.messages import Interaction, Message
from sandbox.discord.people import Person
from sandbox.discord.permissions import Permission
from tests.e2e.house import House, labels, replies

CREDIT = 1_000_000
KEYS = itertools.count(10**17)


async def spend(
    house: House,
    person: Person,
    credits_spent: float,
    *,
    model: str = "gpt-4o-mini",
    reason: Reason = "finished",
    scope_id: int | None = None,
) -> None:
    """One request of that person, held and ended as the bot does it."""
    assert house.bot is not None
    ledger, key, now = house.bot.services.ledger, next(KEYS), datetime.now(UTC)
    nano = NanoDollars(int(credits_spent * CREDIT))
    request = HoldRequest(
        key=key,
        scope_id=house.guild.id if scope_id is None else scope_id,
        user_id=person.user.id,
        role_ids=frozenset(),
        kind="chat",
        model=model,
        fixed_nano=nano,
        at=now,
    )
    await ledger.hold(request)
    consumed = Consumed(nano=nano, estimated=False, prompt_tokens=1_200, completion_tokens=340)
    await ledger.end(key, reason, consumed, at=now)


def decision(by: Person) -> Decision:
    return Decision(key=next(KEYS), by=by.user.id, at=datetime.now(UTC), reason="won the quiz")


async def shown(house: House, interaction: Interaction, count: int = 1) -> list[Message]:
    """The `count` messages of a reply, which nobody but the asker sees."""

    def there() -> bool:
        messages = replies(interaction)
        return len(messages) >= count and not any(message.loading for message in messages)

    await house.discord.wait_until(there, timeout_s=20)
    messages = replies(interaction)
    assert all(message.ephemeral for message in messages)
    return messages


def content_of(house: House, message: Message, ending: str) -> bytes:
    """The bytes of the one file of that ending."""
    [attachment] = [each for each in message.attachments if each.filename.endswith(ending)]
    content = house.discord.world.cdn.content(attachment)
    assert content is not None
    return content


async def test_a_member_sees_what_is_left_and_where_it_went(house: House) -> None:
    await spend(house, house.dana, 12.5)
    await spend(house, house.dana, 30, model="gpt-4o")
    await spend(house, house.dana, 7, reason="cut")
    await spend(house, house.noam, 99)
    [message] = await shown(house, await house.dana.slash(house.channel, "usage"))
    assert "### Your credits in Makers" in message.content
    assert "**57.5 left** of 100 credits a day" in message.content
    assert "42.5 spent, 0 on hold · new <t:" in message.content
    assert "**This week: 42.5 credits**" in message.content
    assert "`gpt-4o` **30** for 1 question, 1,200 tokens in, 340 out" in message.content
    assert "**free** 💬 `gpt-4o-mini`, cut off by a broken connection" in message.content
    assert "**99" not in message.content, "what Noam spent"  # times have a 99 now and then


async def test_the_chart_comes_with_alt_text_and_the_same_numbers_as_text(house: House) -> None:
    await spend(house, house.dana, 12.5)
    await spend(house, house.dana, 30, model="gpt-4o")
    [message] = await shown(house, await house.dana.slash(house.channel, "usage", period="day"))
    picture = Image.open(io.BytesIO(content_of(house, message, ".png")))
    assert (picture.format, picture.size) == ("PNG", (1_000, 500))
    [attachment] = message.attachments
    assert attachment.description is not None
    assert attachment.description.startswith("Dana · today: bar chart of credits spent")
    assert "In all 42.5." in attachment.description
    table = message.content.partition("```\n")[2]
    assert table.split()[:3] == ["gpt-4o", "gpt-4o-mini", "all"]
    assert table.split()[5:8] == ["30", "12.5", "42.5"]


async def test_who_has_spent_nothing_is_told_so_without_a_chart(house: House) -> None:
    [message] = await shown(house, await house.noam.slash(house.channel, "usage", period="month"))
    assert "**100 left** of 100 credits a day" in message.content
    assert "**This month**: nothing yet" in message.content
    assert message.attachments == []


async def test_grants_and_their_reasons_are_listed(house: House) -> None:
    assert house.bot is not None
    await house.bot.services.ledger.grant(
        house.guild.id, house.dana.user.id, NanoDollars(50 * CREDIT), decision(house.admin)
    )
    [message] = await shown(house, await house.dana.slash(house.channel, "usage"))
    assert "🎁 **50** of grants left" in message.content
    assert f"**+50** granted by <@{house.admin.user.id}>: won the quiz" in message.content


async def test_from_eighty_per_cent_on_there_is_a_notice(house: House) -> None:
    await spend(house, house.dana, 79)
    [message] = await shown(house, await house.dana.slash(house.channel, "usage"))
    assert "of your allowance used" not in message.content
    await spend(house, house.dana, 1)
    [message] = await shown(house, await house.dana.slash(house.channel, "usage"))
    assert "⚠️ 80 % of your allowance used, new <t:" in message.content


async def test_the_allowance_in_force_is_named_with_who_set_it(house: House) -> None:
    assert house.bot is not None
    role = house.guild.add_role("Testers")
    house.guild.set_roles(house.dana.user, [role])
    allowances = house.bot.services.allowances
    ten = Allowance.of(NanoDollars(10 * CREDIT), "week")
    await allowances.set(house.guild.id, Target.role(role.id), ten, decision(house.admin))
    await allowances.set(house.guild.id, Target.member(house.noam.user.id), BLOCKED, decision(house.admin))
    [message] = await shown(house, await house.dana.slash(house.channel, "usage"))
    assert "of 10 credits a week" in message.content
    assert f"set by your role <@&{role.id}>" in message.content
    [message] = await shown(house, await house.noam.slash(house.channel, "usage"))
    assert "You have **no allowance** here" in message.content


async def test_direct_messages_have_an_account_of_their_own(house: House) -> None:
    await spend(house, house.dana, 50)
    await spend(house, house.dana, 5, scope_id=DIRECT_SCOPE)
    channel = house.discord.world.dm(house.dana.user)
    [message] = await shown(house, await house.dana.slash(channel, "usage"))
    assert "### Your credits in direct messages" in message.content
    assert "**20 left** of 25 credits a day" in message.content


async def test_there_is_no_server_in_direct_messages(house: House) -> None:
    channel = house.discord.world.dm(house.dana.user)
    [message] = await shown(house, await house.dana.slash(channel, "usage", scope="server"))
    assert message.content == "⚠️ That works in servers only."


async def test_only_who_may_manage_the_server_sees_its_numbers(house: House) -> None:
    await spend(house, house.noam, 33)
    [message] = await shown(house, await house.dana.slash(house.channel, "usage", scope="server"))
    assert message.content == "⚠️ Only members who can manage this server may do that."
    manager = house.guild.add_role("Managers", permissions=Permission.MANAGE_GUILD)
    house.guild.set_roles(house.dana.user, [manager])
    [message] = await shown(house, await house.dana.slash(house.channel, "usage", scope="server"))
    assert "**33" in message.content


async def test_a_server_is_shown_with_members_trend_and_pace(house: House) -> None:
    await spend(house, house.dana, 30)
    await spend(house, house.noam, 10, model="gpt-4o")
    [message] = await shown(house, await house.admin.slash(house.channel, "usage", scope="server"))
    assert "### Credits of Makers" in message.content
    assert "📈 **40** credits in the last 7 days, nothing in the 7 days before" in message.content
    assert "**40** credits of cost this month (UTC)" in message.content
    assert f"1. <@{house.dana.user.id}> **30** (75 %), 1 request" in message.content
    assert f"2. <@{house.noam.user.id}> **10** (25 %), 1 request" in message.content
    assert labels(message) == ["CSV"]
    assert message.attachments[0].description is not None


async def test_a_server_is_shown_against_the_operator_s_ceiling(empty_house: House) -> None:
    house = empty_house
    async with house.running(SERVER_MONTHLY_CEILING_USD="0.05"):
        await spend(house, house.dana, 49)
        [message] = await shown(house, await house.admin.slash(house.channel, "usage", scope="server"))
        assert "**98 %** of this month's ceiling: 49 of 50 credits" in message.content


async def test_the_file_has_every_entry_of_the_server_also_after_a_restart(empty_house: House) -> None:
    house = empty_house
    async with house.running():
        await spend(house, house.dana, 30)
        await spend(house, house.dana, 3, scope_id=DIRECT_SCOPE)
        [message] = await shown(house, await house.admin.slash(house.channel, "usage", scope="server", period="month"))
    async with house.running():
        await spend(house, house.noam, 5, reason="stopped")
        [reply] = await shown(house, await house.admin.click(message, label="CSV"))
        lines = content_of(house, reply, ".csv").decode("utf-8-sig").splitlines()
    assert lines[0].startswith("key,entry,server,user,")
    assert [str(house.dana.user.id) in lines[1], str(house.noam.user.id) in lines[2]] == [True, True]
    assert len(lines) == 3


async def test_the_file_is_for_those_who_may_manage_the_server_still(house: House) -> None:
    await spend(house, house.dana, 30)
    manager = house.guild.add_role("Managers", permissions=Permission.MANAGE_GUILD)
    house.guild.set_roles(house.dana.user, [manager])
    [message] = await shown(house, await house.dana.slash(house.channel, "usage", scope="server"))
    house.guild.set_roles(house.dana.user, [])
    [reply] = await shown(house, await house.dana.click(message, label="CSV"))
    assert reply.content == "⚠️ Only members who can manage this server may do that."
    assert reply.attachments == []


async def test_without_a_chart_the_numbers_are_complete(house: House) -> None:
    assert house.bot is not None
    await spend(house, house.dana, 30)
    async with Plotter(command=[sys.executable, "-c", "raise SystemExit(1)"]) as broken:
        house.bot.services = replace(house.bot.services, charts=broken)
        [message] = await shown(house, await house.dana.slash(house.channel, "usage"))
    assert message.attachments == []
    assert "The chart could not be drawn just now; its numbers are complete." in message.content
    assert "gpt-4o-mini" in message.content.partition("```\n")[2]


async def test_a_chart_that_is_too_long_as_text_comes_in_a_message_of_its_own(house: House) -> None:
    for number in range(8):
        await spend(house, house.dana, 3, model=f"model-{number}-" + "x" * 70)
        await spend(house, house.noam, 3, model=f"model-{number}-" + "x" * 70)
    [text, table] = await shown(house, await house.admin.slash(house.channel, "usage", scope="server"), count=2)
    assert text.content.startswith("### Credits of Makers")
    assert len(text.attachments) == 1
    assert labels(text) == ["CSV"]
    assert "```" not in text.content
    assert table.content.startswith("```\n")
    assert table.content.endswith("\n```")
    assert table.attachments == []


async def test_a_file_button_gives_no_other_servers_entries(house: House) -> None:
    [message] = await shown(house, await house.admin.slash(house.channel, "usage", scope="server"))
    [button] = message.buttons()
    button["custom_id"] = f"usage:csv:{house.guild.id + 1}:month"
    [reply] = await shown(house, await house.admin.click(message, label="CSV"))
    assert reply.content == "⚠️ Only members who can manage that server may do that."
    assert reply.attachments == []


async def test_entries_that_are_more_than_a_file_holds_are_not_sent_in_part(house: House) -> None:
    await spend(house, house.dana, 30)
    [message] = await shown(house, await house.admin.slash(house.channel, "usage", scope="server", period="month"))
    house.guild.upload_limit_bytes = 200
    [reply] = await shown(house, await house.admin.click(message, label="CSV"))
    assert reply.content.startswith("The entries of this month are more than I can put into a file here.")
    assert reply.attachments == []
