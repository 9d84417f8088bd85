"""`/quota`: what each command does, what each refusal says, and who hears of it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot.credits.policy import BLOCKED, Allowance
from bot.guilds import SERVER_DEFAULT, Decision, Target
from bot.money import AMOUNT_LIMIT, NanoDollars
from cogs import decisions
from sandbox.discord.faults import Fault, Hold
from sandbox.discord.people import ClientRefused
from sandbox.discord.permissions import Permission
from sandbox.discord.places import Channel
from tests.e2e.deciding import CREDIT, KEYS, ended, is_posted, services, spend, told, told_despite
from tests.e2e.house import House, labels

NOTHING_TO_REMOVE = "⚠️ There is nothing to remove: no allowance is set for that target itself."
WEEKLY = Allowance.of(NanoDollars(100 * CREDIT), "week")
COMMANDS: dict[str, dict[str, object]] = {
    "quota set": {"credits": "5", "period": "day"},
    "quota unlimited": {},
    "quota block": {},
    "quota remove": {},
    "quota grant": {"credits": "5", "reason": "a gift"},
    "quota show": {},
    "quota list": {},
    "quota log": {},
}


async def set_(house: House, target: Target, allowance: Allowance) -> None:
    decision = Decision(key=next(KEYS), by=house.admin.user.id, at=datetime.now(UTC))
    await services(house).allowances.set(house.guild.id, target, allowance, decision)


async def is_set(house: House) -> dict[Target, str]:
    """Every allowance of the server, by its target."""
    page = await services(house).allowances.page(house.guild.id, limit=100)
    return {each.target: each.allowance.text for each in page}


async def actions(house: House) -> list[str]:
    return [each.action for each in await services(house).guilds.log(house.guild.id, limit=100)]


# Setting


async def test_a_members_allowance_is_set_with_what_is_left_and_when_it_comes_anew(house: House) -> None:
    text = await told(house, "quota set", credits="1,000.5", period="week", target=house.dana.user)
    assert f"Allowance of {house.dana.user.mention}: not set → **1,000.5 credits a week**" in text
    assert "(their own)" in text
    assert "**1,000.5 left**; anew <t:" in text
    assert await is_set(house) == {Target.member(house.dana.user.id): f"{1_000_500_000}/week"}


async def test_a_change_says_what_was_before(house: House) -> None:
    await set_(house, Target.member(house.dana.user.id), WEEKLY)
    text = await told(house, "quota set", credits="7", period="week", target=house.dana.user)
    assert "100 credits a week → **7 credits a week**" in text


async def test_a_roles_allowance_says_for_whom_it_counts(house: House) -> None:
    role = house.guild.add_role("Writers")
    text = await told(house, "quota set", credits="100", period="week", target=role)
    assert f"Allowance of {role.mention}: not set → **100 credits a week**" in text
    assert "of several roles the best counts" in text
    assert await is_set(house) == {Target.role(role.id): WEEKLY.text}


async def test_without_a_target_the_servers_default_is_set(house: House) -> None:
    text = await told(house, "quota set", credits="1", period="month")
    assert "The server's default: not set → **1 credit a month**" in text
    assert "by the calendar of UTC" in text
    assert await is_set(house) == {SERVER_DEFAULT: f"{CREDIT}/month"}


async def test_lowering_below_what_is_spent_is_allowed_and_explained(house: House) -> None:
    await set_(house, Target.member(house.dana.user.id), WEEKLY)
    await spend(house, house.dana, 12)
    text = await told(house, "quota set", credits="5", period="week", target=house.dana.user)
    assert "12 spent, 0 on hold, **0 left**" in text
    assert "The allowance is 7 credits below what is spent and on hold. Nothing is taken back" in text
    assert await is_set(house) == {Target.member(house.dana.user.id): f"{5 * CREDIT}/week"}


@pytest.mark.parametrize(("period", "words"), [("day", "what was spent since <t:"), ("once", "was ever spent")])
async def test_a_period_that_changes_midway_is_explained(house: House, period: str, words: str) -> None:
    await set_(house, Target.member(house.dana.user.id), WEEKLY)
    await set_(house, SERVER_DEFAULT, WEEKLY)
    await spend(house, house.dana, 12)
    text = await told(house, "quota set", credits="50", period=period, target=house.dana.user)
    assert "12 spent" in text, "what was spent counts in the new period"
    assert "The period is another now" in text
    assert words in text
    assert words in (await told(house, "quota set", credits="50", period=period)).replace("What", "what")


async def test_no_limit_and_blocked_are_values_of_their_own(house: House) -> None:
    text = await told(house, "quota unlimited", target=house.dana.user)
    assert "not set → **no limit**" in text
    text = await told(house, "quota block", target=house.dana.user)
    assert "no limit → **blocked**" in text
    assert await is_set(house) == {Target.member(house.dana.user.id): "none"}


async def test_removing_gives_way_to_the_next_rule(house: House) -> None:
    role = house.guild.add_role("Writers")
    house.guild.set_roles(house.dana.user, [role])
    await set_(house, Target.role(role.id), WEEKLY)
    await set_(house, Target.member(house.dana.user.id), BLOCKED)
    text = await told(house, "quota remove", target=house.dana.user)
    assert "blocked → **not set**" in text
    assert f"now counts: **100 credits a week** (by the role {role.mention})" in text
    await told(house, "quota remove", target=role)
    assert await is_set(house) == {}
    assert "There is nothing to remove" in await told(house, "quota remove", target=role)
    await told(house, "quota set", credits="1", period="day")
    assert "the bot's operator: **100 credits a day**" in await told(house, "quota remove")


# Granting and showing


async def test_a_grant_says_what_is_left_of_grants_and_why(house: House) -> None:
    await told(house, "quota grant", member=house.dana.user, credits="2", reason="a start")
    text = await told(house, "quota grant", member=house.dana.user, credits="5", reason="won *the* quiz @everyone")
    assert f"{house.dana.user.mention} has been granted **5 credits**: won \\*the\\* quiz @\u200beveryone" in text
    assert "Granted credits left: 2 → **7**" in text
    assert "7 of granted credits left, spent after the allowance" in text
    standing = await services(house).ledger.standing(house.guild.id, house.dana.user.id, (), at=datetime.now(UTC))
    assert standing.grants_left_nano == 7 * CREDIT


async def test_who_is_blocked_cannot_spend_a_grant_and_the_admin_hears_it(house: House) -> None:
    await told(house, "quota block", target=house.dana.user)
    text = await told(house, "quota grant", member=house.dana.user, credits="2", reason="a start")
    assert "blocked members cannot spend them" in text


async def test_a_member_is_shown_with_their_best_role(house: House) -> None:
    small, large = house.guild.add_role("Readers"), house.guild.add_role("Writers")
    house.guild.set_roles(house.dana.user, [small, large])
    await set_(house, Target.role(small.id), Allowance.of(NanoDollars(CREDIT), "week"))
    await set_(house, Target.role(large.id), WEEKLY)
    await spend(house, house.dana, 0)
    text = await told(house, "quota show", member=house.dana.user)
    assert f"**100 credits a week** (by the role {large.mention})" in text


async def test_who_has_left_is_still_shown_as_such(house: House) -> None:
    house.guild.leave(house.noam.user)
    text = await told(house, "quota show", member=house.noam.user)
    assert "Not a member of this server" in text
    assert "100 credits a day" in text


# Bad input: a sentence, and nothing changed


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("-5", "not more than nothing"),
        ("0", "not more than nothing"),
        ("0.00", "not more than nothing"),
        ("0.0000001", "the smallest step is 0.000001 credits"),
        ("1000000000.5", "at most 1,000,000,000 credits"),
        ("9" * 40, "not an amount that I can read"),
        ("many", "not an amount that I can read"),
        ("1e3", "not an amount that I can read"),
    ],
)
async def test_an_amount_that_cannot_be_given_is_refused(house: House, amount: str, words: str) -> None:
    text = await told(house, "quota set", credits=amount, period="day", target=house.dana.user)
    assert words in text
    assert words in await told(house, "quota grant", member=house.dana.user, credits=amount, reason="x")
    assert await is_set(house) == {}
    assert await actions(house) == []


async def test_grants_do_not_add_up_beyond_all_bounds(house: House) -> None:
    largest = str(AMOUNT_LIMIT // CREDIT)
    await told(house, "quota grant", member=house.dana.user, credits=largest, reason="x")
    assert "more than I can give" in await told(house, "quota grant", member=house.dana.user, credits="1", reason="x")
    assert await actions(house) == ["grant"]


async def test_only_people_who_are_there_and_their_roles_get_credits(house: House) -> None:
    world, role = house.discord.world, house.guild.add_role("Writers")
    house.guild.leave(house.noam.user)
    refused = {
        "Bots get no credits": [world.bot, next(each for each in house.guild.roles.values() if each.managed)],
        "leave the `target` out": [house.guild.roles[house.guild.id]],
        "not a member of this server": [house.noam.user],
        "That role does not exist": [replace(role, id=world.new_id())],
    }
    for words, targets in refused.items():
        for target in targets:
            assert words in await told(house, "quota set", credits="5", period="day", target=target)
            assert words in await told(house, "quota block", target=target)
    assert "Bots get no credits" in await told(house, "quota grant", member=world.bot, credits="5", reason="x")
    assert "not a member" in await told(house, "quota grant", member=house.noam.user, credits="5", reason="x")
    assert await actions(house) == []


# Who may


@pytest.mark.parametrize("command", COMMANDS)
async def test_without_manage_server_nothing_happens_whatever_the_client_says(house: House, command: str) -> None:
    options = COMMANDS[command]
    if command in {"quota grant", "quota show"}:
        options = {"member": house.dana.user, **options}
    with pytest.raises(ClientRefused):
        await house.dana.slash(house.channel, command, **options)
    text = await told_despite(house, command, house.dana, **options)
    assert text == "⚠️ Only members who can manage this server may do that."
    assert await is_set(house) == {}
    assert await actions(house) == []


async def test_manage_server_is_enough(house: House) -> None:
    house.guild.set_roles(house.dana.user, [house.guild.add_role("Admins", permissions=Permission.MANAGE_GUILD)])
    assert "→ **blocked**" in await told(house, "quota block", house.dana, target=house.noam.user)


async def test_it_works_in_servers_only(house: House) -> None:
    dm = house.discord.world.dm(house.admin.user)
    assert not house.admin.offers(dm, "quota")
    text = await told_despite(house, "quota set", house.admin, dm, credits="5", period="day")
    assert text == "⚠️ That works in servers only."


async def test_a_page_is_not_turned_for_who_may_no_longer_decide(house: House) -> None:
    role = house.guild.add_role("Admins", permissions=Permission.MANAGE_GUILD)
    house.guild.set_roles(house.dana.user, [role])
    for number in range(1, 12):
        await set_(house, Target.member(number), WEEKLY)
    shown = await ended(house, await house.dana.slash(house.channel, "quota list"))
    house.guild.set_roles(house.dana.user, [])
    refused = await ended(house, await house.dana.click(shown, label="Next"))
    assert refused.content == "⚠️ Only members who can manage this server may do that."
    assert "Page 1 of 2" in shown.content


# Looking


async def test_the_list_goes_from_the_default_over_roles_to_members(house: House) -> None:
    assert "**100 credits a day** (the default of the bot's operator)" in await told(house, "quota list")
    low, high = house.guild.add_role("Low"), house.guild.add_role("High")
    for target in (Target.member(house.dana.user.id), Target.role(low.id), Target.role(high.id), SERVER_DEFAULT):
        await set_(house, target, WEEKLY)
    text = await told(house, "quota list")
    places = [text.index(words) for words in ("Everybody", high.mention, low.mention, house.dana.user.mention)]
    assert places == sorted(places)
    assert f"**100 credits a week** (by {house.admin.user.mention} <t:" in text


async def test_a_long_list_has_pages_of_at_most_2000_characters(house: House) -> None:
    most = Allowance.of(NanoDollars(AMOUNT_LIMIT - 1), "month")
    members = [house.discord.world.new_id() for _ in range(25)]
    for member_id in members:
        await set_(house, Target.member(member_id), most)
    shown = await ended(house, await house.admin.slash(house.channel, "quota list"))
    pages = []
    for number in (1, 2, 3):
        await house.discord.wait_until(lambda number=number: f"Page {number} of 3" in shown.content)
        assert len(shown.content) <= 2_000
        pages.append(shown.content)
        if number < 3:
            await house.admin.click(shown, label="Next")
    assert all(sum(f"<@{member_id}>" in page for page in pages) == 1 for member_id in members)
    await house.admin.click(shown, label="Back")
    await house.discord.wait_until(lambda: "Page 2 of 3" in shown.content)


async def test_who_is_gone_is_marked_and_can_be_removed_from_the_list(house: House) -> None:
    deleted = Target.role(house.discord.world.new_id())
    for target in (Target.member(house.dana.user.id), Target.member(house.noam.user.id), deleted):
        await set_(house, target, WEEKLY)
    house.guild.leave(house.noam.user)
    shown = await ended(house, await house.admin.slash(house.channel, "quota list"))
    assert f"{house.noam.user.mention} ⚠️ has left" in shown.content
    assert f"a deleted role (`{deleted.id}`)" in shown.content
    assert f"{house.dana.user.mention}: " in shown.content, "who is there is not marked"
    for gone in (f"member:{house.noam.user.id}", f"role:{deleted.id}"):
        chosen = await house.admin.select(shown, [gone])
        await house.discord.wait_until(lambda chosen=chosen: bool(chosen.followups))
        assert "100 credits a week → **not set**" in chosen.followups[-1].content
    assert set(await is_set(house)) == {Target.member(house.dana.user.id)}
    assert "has left" not in shown.content
    assert shown.components == []


async def test_who_has_left_can_be_removed_by_the_command(house: House) -> None:
    await set_(house, Target.member(house.noam.user.id), WEEKLY)
    house.guild.leave(house.noam.user)
    assert "100 credits a week → **not set**" in await told(house, "quota remove", target=house.noam.user)
    assert await is_set(house) == {}


async def test_the_log_has_the_newest_first_with_who_when_before_and_after(house: House) -> None:
    assert await told(house, "quota log") == "Nothing has been changed here yet."
    await told(house, "quota set", credits="5", period="day", target=house.dana.user)
    await told(house, "quota grant", member=house.dana.user, credits="3", reason="a gift")
    await told(house, "settings images", allowed="off")
    lines = (await told(house, "quota log")).splitlines()
    by = house.admin.user.mention
    assert len(lines) == 4
    assert lines[1].startswith("- <t:")
    assert lines[1].endswith(f"{by} changed pictures: on → **off**")
    assert lines[2].endswith(f"{by} granted {house.dana.user.mention} **3 credits** (grants left 0 → 3): a gift")
    assert lines[3].endswith(f"{by} set {house.dana.user.mention}: not set → **5 credits a day**")


async def test_the_log_goes_back_page_by_page_after_a_restart_too(empty_house: House) -> None:
    house = empty_house
    async with house.running():
        for number in range(15):
            decision = Decision(key=1_000 + number, by=1, at=datetime.now(UTC), reason=f"*{number}*" + "*" * 190)
            await services(house).ledger.grant(house.guild.id, 7, NanoDollars(CREDIT), decision)
        shown = await ended(house, await house.admin.slash(house.channel, "quota log"))
    seen: list[str] = []
    async with house.running():
        while True:
            assert len(shown.content) <= 2_000
            page = shown.content
            seen += [line.split("): ")[1].split("\\*")[1] for line in page.splitlines()[1:]]
            if "Older" not in labels(shown):
                break
            await house.admin.click(shown, label="Older")
            await house.discord.wait_until(lambda page=page: shown.content != page)
        assert seen == [str(number) for number in reversed(range(15))]
        await house.admin.click(shown, label="Newest")
        await house.discord.wait_until(lambda: labels(shown) == ["Older"])


# The log channel


async def test_every_change_is_posted_in_the_log_channel_and_pings_nobody(house: House) -> None:
    log, role = house.guild.add_text_channel("log"), house.guild.add_role("Writers", mentionable=True)
    await told(house, "settings log-channel", channel=log)
    await told(house, "quota set", credits="5", period="day", target=role)
    await told(house, "quota grant", member=house.dana.user, credits="3", reason="a gift")
    by = house.admin.user.mention
    posted = await is_posted(house, log, f"📒 {by} set {role.mention}: not set → **5 credits a day**")
    assert posted.mentions_pinged == set()
    await is_posted(house, log, f"granted {house.dana.user.mention} **3 credits**")


async def test_a_reason_turns_nothing_that_stands_around_it(house: House) -> None:
    log = house.guild.add_text_channel("log")
    await told(house, "settings log-channel", channel=log)
    text = await told(house, "quota grant", member=house.dana.user, credits="3", reason="a \u202egift\u2066")
    assert "**3 credits**: a gift\n" in text
    await is_posted(house, log, "→ 3): a gift")
    assert f"by <@{house.admin.user.id}>: a gift" in await told(house, "usage", house.dana)


async def test_a_post_that_fails_is_told_and_the_change_stands(house: House) -> None:
    log = house.guild.add_text_channel("log")
    await told(house, "settings log-channel", channel=log)
    await is_posted(house, log, "log channel")
    log.set_overwrite(house.guild.roles[house.guild.id], deny=Permission.SEND_MESSAGES)
    interaction = await house.admin.slash(house.channel, "quota block", target=house.dana.user)
    await house.discord.wait_until(lambda: bool(interaction.followups))
    warning = interaction.followups[-1].content
    assert f"could not be posted in {log.mention}: I am not allowed to write there. It stands all the same." in warning
    assert await is_set(house) == {Target.member(house.dana.user.id): "none"}
    house.discord.world.delete_channel(log)
    interaction = await house.admin.slash(house.channel, "quota unlimited", target=house.noam.user)
    await house.discord.wait_until(lambda: bool(interaction.followups))
    assert "could not be posted" in interaction.followups[-1].content


async def test_a_log_channel_that_is_gone_is_named_as_that(house: House) -> None:
    log = await logging_channel(house)
    gone = Fault(method="POST", template="/channels/…/messages", error_code=10_003, status=404)
    house.discord.faults.add(gone)
    text = await warned(house, "quota block", target=house.dana.user)
    assert f"could not be posted in {log.mention}: that channel is gone; choose another with `/settings log-ch" in text
    assert await is_set(house) == {Target.member(house.dana.user.id): "none"}


async def test_a_post_that_discord_does_not_take_in_time_holds_nobody_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await logging_channel(house)
    monkeypatch.setattr(decisions, "POST_S", 0.05)
    hold = house.discord.faults.hold(Hold(method="POST", template="/channels/…/messages"))
    text = await warned(house, "quota block", target=house.dana.user)
    assert f"could not be posted in {log.mention}: Discord does not take it just now. It stands all the same." in text
    assert await is_set(house) == {Target.member(house.dana.user.id): "none"}
    hold.let_go()


async def logging_channel(house: House) -> Channel:
    """A new one, in which changes are posted."""
    log = house.guild.add_text_channel("log")
    await told(house, "settings log-channel", channel=log)
    await is_posted(house, log, "log channel")
    return log


async def warned(house: House, command: str, **options: object) -> str:
    """What follows the answer to the admin's command."""
    interaction = await house.admin.slash(house.channel, command, **options)
    await house.discord.wait_until(lambda: bool(interaction.followups))
    return interaction.followups[-1].content


async def test_everyone_is_no_role_whose_allowance_could_be_removed(house: House) -> None:
    await set_(house, SERVER_DEFAULT, WEEKLY)
    text = await told(house, "quota remove", target=house.guild.roles[house.guild.id])
    assert text == "⚠️ For everyone, leave the `target` out: that is the server's default."
    assert await is_set(house) == {SERVER_DEFAULT: WEEKLY.text}


async def test_a_bot_has_no_credits_to_show(house: House) -> None:
    text = await told(house, "quota show", member=house.discord.world.bot)
    assert text == "⚠️ Bots get no credits: I answer people only. Please choose a member or a role."


async def test_the_list_is_read_to_its_end_and_says_where_it_stops(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert house.bot is not None
    cog = house.bot.extensions["cogs.quota"]
    monkeypatch.setattr(cog, "_READ_PAGE", 2)
    monkeypatch.setattr(cog, "LIST_PAGE", 2)
    for _ in range(5):
        await set_(house, Target.member(house.discord.world.new_id()), WEEKLY)
    assert "Page 1 of 3" in await told(house, "quota list")
    assert "only" not in await told(house, "quota list")
    monkeypatch.setattr(cog, "LISTED_LIMIT", 4)
    assert "Page 1 of 2; the first 4 only" in await told(house, "quota list")


async def test_an_altered_client_removes_nothing_that_the_list_does_not_name(house: House) -> None:
    gone = Target.member(house.discord.world.new_id())
    await set_(house, gone, WEEKLY)
    shown = await ended(house, await house.admin.slash(house.channel, "quota list"))
    for value in ("everyone", "member:0", "role:-1"):
        chosen = await house.admin.select(shown, [value], tampered=True)
        said = (await house.discord.wait_until(lambda chosen=chosen: chosen.followups or None))[-1].content
        assert said == NOTHING_TO_REMOVE
    assert set(await is_set(house)) == {gone}
