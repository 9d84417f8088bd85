"""What a person can do with the page, in a real Chromium against the real bot."""

import asyncio
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import FileChooser, WebSocketRoute, expect

from tests.browser.conftest import Opener
from tests.browser.page import ANSWER_MS, CHROMIUM, Sandbox

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no {CHROMIUM}"),
]

WIDE_AS_ITSELF = "document.documentElement.scrollWidth <= innerWidth"


async def test_the_page_shows_a_place_its_people_and_who_one_is(sandbox: Sandbox):
    page = sandbox.page
    channels = page.get_by_role("navigation", name="Channels")
    await expect(channels.get_by_role("button", name="after-dark, age-restricted channel")).to_be_visible()
    await expect(channels.get_by_role("button", name="thread, thread")).to_be_visible()
    members = page.get_by_role("complementary", name="Members")
    await expect(members.get_by_role("button")).to_have_count(4)
    await expect(page.get_by_role("button", name="You are Dana")).to_be_visible()


async def test_an_answer_grows_in_place_and_ends_with_its_buttons(sandbox: Sandbox):
    answer = await sandbox.ask("Tell me of tides in a table, please")
    drawn = await answer.element_handle()
    length = len(await answer.inner_text())
    await sandbox.page.wait_for_function("([each, more]) => each.innerText.length > more", arg=[drawn, length + 20])
    await sandbox.ended(answer)
    assert await drawn.evaluate("each => each.isConnected"), "an edit changes a message, and does not replace it"
    await expect(answer).to_contain_text("Dana used /ask")
    await expect(answer.get_by_text("(edited)")).to_be_visible()
    await expect(answer.get_by_text("Bot", exact=True)).to_be_visible()


async def test_an_answer_is_stopped_and_asked_again(sandbox: Sandbox):
    answer = await sandbox.ask("Something long about lighthouses")
    await answer.get_by_role("button", name="Stop").click()
    await sandbox.ended(answer)
    await expect(answer).to_contain_text("Stopped.")
    await answer.get_by_role("button", name="Regenerate").click()
    again = sandbox.messages.last
    await again.get_by_role("button", name="Stop").click(timeout=ANSWER_MS)
    await sandbox.ended(again)


async def test_a_command_is_given_with_the_keyboard_alone_and_its_reply_dismissed(sandbox: Sandbox):
    page = sandbox.page
    await page.keyboard.press("/")
    await expect(sandbox.list).to_be_visible()
    await expect(sandbox.box).to_have_attribute("aria-expanded", "true")
    await page.keyboard.press("ArrowDown")
    second = await sandbox.list.get_by_role("option").nth(1).get_attribute("id")
    await expect(sandbox.box).to_have_attribute("aria-activedescendant", second or "")
    await page.keyboard.press("Escape")
    await expect(sandbox.list).to_have_count(0)
    await page.keyboard.type("hel")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("group", name="Command help")).to_be_visible()
    await page.keyboard.press("Enter")
    reply = await sandbox.pinned(sandbox.messages.filter(has_text="Only you can see this").last)
    await expect(reply).to_contain_text("Ask")
    await reply.get_by_role("button", name="Dismiss").click()
    await expect(reply).to_have_count(0)


async def test_what_discords_client_would_not_send_is_told_at_the_field(sandbox: Sandbox):
    page = sandbox.page
    line = await sandbox.begin("imagine")
    await page.keyboard.press("Enter")
    alert = line.get_by_role("alert")
    await expect(alert).to_have_text("prompt is required.")
    await page.keyboard.type("a heron")
    await page.get_by_role("button", name=re.compile("^Add count")).click()
    await page.keyboard.type("9")
    await page.keyboard.press("Enter")
    await expect(alert).to_have_text("count is at most 4.")
    await expect(page.get_by_role("textbox", name="count:")).to_have_attribute("aria-invalid", "true")
    await page.keyboard.press("Escape")
    await expect(sandbox.box).to_be_focused()


async def test_the_bot_suggests_values_while_one_types(sandbox: Sandbox):
    await sandbox.be("Ruth")
    await sandbox.begin("settings time-zone")
    await sandbox.page.keyboard.type("lisb")
    await sandbox.list.get_by_role("option", name=re.compile("Lisbon")).wait_for()
    await sandbox.page.keyboard.press("Enter")
    await expect(sandbox.page.get_by_role("combobox", name="zone:")).to_have_value(re.compile("Lisbon"))
    await sandbox.page.keyboard.press("Escape")


async def test_a_messages_menu_opens_a_form_that_goes_to_the_bot(sandbox: Sandbox):
    page = sandbox.page
    mine = await sandbox.say("The kettle is a small steam engine.")
    await mine.focus()
    await page.keyboard.press("Shift+F10")
    await page.get_by_role("menuitem", name="Ask about this").click()
    form = page.get_by_role("dialog", name="Ask about this message")
    await form.get_by_role("button", name="Submit").click()
    await expect(form.get_by_role("alert").filter(has_text="Please fill this in.")).to_be_visible()
    await form.get_by_role("textbox").fill("Is that so?")
    await expect(form.get_by_text("11 / 4000")).to_be_visible()
    await form.get_by_role("checkbox").check()
    await form.get_by_role("button", name="Submit").click()
    await expect(form).to_have_count(0)
    answer = sandbox.messages.filter(has_text="Is that so?").last
    await expect(answer).to_contain_text("Only you can see this", timeout=ANSWER_MS)
    await sandbox.ended(answer)


async def test_commands_for_admins_are_hidden_from_a_member(sandbox: Sandbox):
    await sandbox.box.fill("/quota")
    await expect(sandbox.list).to_contain_text("no such command for this person")
    await sandbox.be("Ruth")
    await sandbox.box.fill("/quota")
    await expect(sandbox.list.get_by_role("option", name="/quota set So many")).to_be_visible()


async def test_a_spoiler_opens_when_pressed_and_stays_open_through_an_edit(sandbox: Sandbox):
    mine = await sandbox.say("It was ||the gardener|| all along")
    spoiler = mine.get_by_role("button", name="Spoiler")
    await spoiler.focus()
    await spoiler.press("Enter")
    await expect(mine.locator(".md-shown")).to_have_text("the gardener")
    await mine.hover()
    await mine.get_by_role("button", name="More").click()
    await sandbox.page.get_by_role("menuitem", name="Edit message").click()
    await sandbox.box.fill("It was ||the gardener|| after all")
    await sandbox.box.press("Enter")
    await expect(mine).to_contain_text("after all")
    await expect(mine.locator(".md-shown")).to_have_text("the gardener")


async def test_the_bot_answers_a_mention_in_a_thread(sandbox: Sandbox):
    await sandbox.go("thread")
    await sandbox.box.press_sequentially("@Mini")
    await sandbox.page.keyboard.press("Enter")
    await sandbox.page.keyboard.type("are you here?")
    await sandbox.page.keyboard.press("Enter")
    answer = sandbox.messages.filter(has_text="simulation").last
    await answer.wait_for(timeout=ANSWER_MS)
    await expect(answer.get_by_role("button", name=re.compile("In reply to Dana"))).to_be_visible()
    await sandbox.ended(answer)


async def test_a_reply_leads_to_its_message(sandbox: Sandbox):
    mine = await sandbox.say("Where were we?")
    await mine.hover()
    await mine.get_by_role("button", name="Reply").click()
    await expect(sandbox.page.get_by_text("Replying to")).to_be_visible()
    reply = await sandbox.say("Right here.")
    await reply.get_by_role("button", name=re.compile("In reply to Dana: Where were we")).click()
    await expect(mine).to_be_focused()


async def test_pictures_are_described_sent_and_shown_large(sandbox: Sandbox, tmp_path: Path):
    for number in (1, 2):
        Image.new("RGB", (64, 48), (40 * number, 90, 120)).save(tmp_path / f"{number}.png")
    page = sandbox.page
    async with page.expect_file_chooser() as choosing:
        await sandbox.button("Attach files").click()
    await (await choosing.value).set_files([tmp_path / "1.png", tmp_path / "2.png"])
    await page.get_by_role("textbox", name="Description of 1.png").fill("A calm sea")
    await sandbox.say("Two seas")
    gallery = sandbox.messages.last.get_by_role("group", name="2 pictures")
    await gallery.get_by_role("button", name="A calm sea").click()
    large = page.get_by_role("dialog", name="Picture")
    await expect(large).to_contain_text("1 of 2 · 64 × 48")
    await page.keyboard.press("ArrowRight")
    await expect(large.get_by_role("img")).to_have_attribute("alt", "2.png")
    await page.keyboard.press("Escape")
    await expect(large).to_be_hidden()


async def test_a_wide_picture_is_as_wide_as_its_frame(sandbox: Sandbox, tmp_path: Path):
    Image.new("RGB", (800, 400), "teal").save(tmp_path / "wide.png")
    async with sandbox.page.expect_file_chooser() as choosing:
        await sandbox.button("Attach files").click()
    await (await choosing.value).set_files(tmp_path / "wide.png")
    await sandbox.page.get_by_role("textbox", name="Description of wide.png").fill("A calm sea")
    message = await sandbox.say("A wide one")
    frame, image = message.get_by_role("button", name="A calm sea"), message.get_by_role("img", name="A calm sea")
    widths = [await each.evaluate("each => each.getBoundingClientRect().width") for each in (frame, image)]
    assert widths == [440, 440]


async def test_long_lines_of_code_are_broken_as_discord_breaks_them(sandbox: Sandbox):
    message = await sandbox.say("```\n" + "name + " * 80 + "x" * 300 + "\n```")
    await expect(message.locator("pre")).to_be_visible()
    assert await message.locator("pre").evaluate("pre => pre.scrollWidth <= pre.clientWidth")


async def test_a_reader_further_up_is_not_moved_but_told(opened: Opener):
    reader = await opened()
    await reader.go("random")
    for number in range(8):
        await reader.say("\n".join(f"line {number}.{line}" for line in range(6)))
    await reader.log.evaluate("log => { log.scrollTop = 120; }")
    before = await reader.log.evaluate("log => log.scrollTop")
    writer = await opened()
    await writer.be("Noam")
    await writer.go("random")
    await writer.say("News!")
    pill = reader.page.get_by_role("button", name="1 new message")
    await expect(pill).to_be_visible()
    assert await reader.log.evaluate("log => log.scrollTop") == before
    await pill.click()
    await expect(reader.messages.last).to_be_in_viewport()


async def test_a_reader_at_the_end_stays_there_whatever_becomes_of_the_columns(sandbox: Sandbox):
    for number in range(6):
        await sandbox.say(f"{number}: " + "many words that break into more lines where there is less space " * 8)
    at_the_end = """() => {
        const log = document.getElementById("log");
        return log.scrollHeight - log.scrollTop - log.clientHeight < 2;
    }"""
    for width in (1280, 700, 1000):
        await sandbox.page.set_viewport_size({"width": width, "height": 800})
        await sandbox.page.wait_for_function(at_the_end)
        await sandbox.button("Sandbox tools").click()
        await sandbox.page.wait_for_function(at_the_end)
        await sandbox.page.keyboard.press("Escape")
    assert await sandbox.page.evaluate(at_the_end)


async def test_text_from_right_to_left_stands_so(sandbox: Sandbox):
    mine = await sandbox.say("مرحبا بالجميع")
    await expect(mine.get_by_text("مرحبا بالجميع")).to_have_css("direction", "rtl")


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_colours_follow_the_system_until_chosen_and_are_remembered(opened: Opener, scheme: str):
    sandbox = await opened(color_scheme=scheme)
    other = "light" if scheme == "dark" else "dark"
    grounds = {"dark": "rgb(18, 24, 27)", "light": "rgb(234, 240, 239)"}
    body = sandbox.page.locator("body")
    await expect(body).to_have_css("background-color", grounds[scheme])
    await sandbox.button(f"{other.capitalize()} colours").click()
    await expect(body).to_have_css("background-color", grounds[other])
    await sandbox.page.reload()
    await expect(body).to_have_css("background-color", grounds[other])


async def test_on_a_phone_all_is_within_reach_and_nothing_scrolls_sideways(opened: Opener):
    sandbox = await opened(viewport={"width": 360, "height": 740}, has_touch=True)
    page = sandbox.page
    await sandbox.say("unbreakable" * 40)
    assert await page.evaluate(WIDE_AS_ITSELF)
    assert await sandbox.log.evaluate("log => log.scrollWidth <= log.clientWidth")
    await page.get_by_role("button", name="Servers and channels").tap()
    await sandbox.go("random")
    await page.get_by_role("button", name="Sandbox tools").tap()
    await page.get_by_role("tab", name="Clock").tap()
    await expect(page.get_by_role("button", name="1 month")).to_be_in_viewport()
    assert await page.evaluate(WIDE_AS_ITSELF)
    small = await page.evaluate(
        "[...document.querySelectorAll('.bar button, .composer-line button, .step')]"
        ".filter(each => each.offsetParent && Math.min(each.offsetHeight, each.offsetWidth) < 44)"
        ".map(each => each.outerHTML)"
    )
    assert small == [], "what a finger presses is 44 pixels wide and high"


async def test_the_panel_shows_what_happens_and_lets_time_pass(sandbox: Sandbox):
    page = sandbox.page
    await sandbox.button("Sandbox tools").click()
    events = page.get_by_role("list", name="Events, oldest first")
    await sandbox.command("usage")
    await expect(events).to_contain_text("INTERACTION_CREATE")
    await page.get_by_role("searchbox", name="Filter the events").fill("callback")
    await expect(events).not_to_contain_text("INTERACTION_CREATE")
    await page.get_by_role("tab", name="Limits").click()
    await expect(page.get_by_role("meter", name="All requests of the bot")).to_be_visible()
    await page.get_by_role("tab", name="Clock").click()
    await page.get_by_role("button", name="15 minutes").click()
    await expect(page.get_by_role("tabpanel", name="Clock")).to_contain_text("15 minutes ahead")
    await page.get_by_role("tab", name="Ledger").click()
    await expect(page.get_by_role("tabpanel", name="Ledger").get_by_role("term").first).to_be_visible()


async def test_a_fault_is_switched_on_and_off(sandbox: Sandbox):
    await sandbox.button("Sandbox tools").click()
    await sandbox.page.get_by_role("tab", name="Faults").click()
    switch = sandbox.page.get_by_role("switch", name="Pictures fail")
    await switch.click()
    await expect(switch).to_be_checked()
    await switch.press("Space")
    await expect(switch).not_to_be_checked()


async def test_a_lost_connection_comes_back_by_itself(opened: Opener):
    sandbox = await opened()
    sockets: list[WebSocketRoute] = []

    def through(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        socket.connect_to_server()

    await sandbox.page.route_web_socket(re.compile("/api/live"), through)
    await sandbox.page.reload()
    await expect(sandbox.page.get_by_role("heading", level=1)).to_have_text("general")
    await sockets[0].close()
    await expect(sandbox.page.get_by_text("The sandbox is not connected.")).to_be_hidden()
    await expect(await sandbox.say("Still there?")).to_contain_text("Still there?")
    assert len(sockets) == 2


async def test_four_pictures_come_into_one_message_and_again_orders_four_more(sandbox: Sandbox):
    await sandbox.go("random")
    await sandbox.begin("imagine")
    await sandbox.page.keyboard.type("a heron by a river")
    await sandbox.page.get_by_role("button", name=re.compile("^Add count")).click()
    await sandbox.page.keyboard.type("4")
    await sandbox.page.keyboard.press("Enter")
    order = await sandbox.pinned(sandbox.messages.filter(has_text="a heron by a river").last)
    await expect(order.get_by_role("group", name="4 pictures")).to_be_visible(timeout=ANSWER_MS)
    await order.get_by_role("button", name="Again").click()
    again = sandbox.messages.filter(has_text="a heron by a river").last
    await expect(again).not_to_have_attribute("data-id", await order.get_attribute("data-id") or "")
    await expect(again).to_contain_text("4 pictures")


async def test_a_member_runs_into_what_an_admin_has_set(sandbox: Sandbox):
    page = sandbox.page
    await sandbox.go("random")
    await sandbox.be("Ruth")
    await sandbox.begin("quota set")
    for typed in ("0.001", "Tab", "day", "Enter"):
        await (page.keyboard.press if typed in {"Tab", "Enter"} else page.keyboard.type)(typed)
    await page.get_by_role("button", name=re.compile("^Add target")).click()
    await page.keyboard.type("Noam")
    await sandbox.list.get_by_role("option", name="Noam").wait_for()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Enter")
    await expect(sandbox.messages.last).to_contain_text("0.001")
    await sandbox.be("Noam")
    await sandbox.command("ask", prompt="What may I still ask?")
    await expect(sandbox.messages.last).to_contain_text("you have 0.001 left", timeout=ANSWER_MS)


async def test_several_of_a_list_are_chosen_and_sent_when_it_closes(sandbox: Sandbox):
    await sandbox.be("Ruth")
    await sandbox.begin("settings allowed-models")
    await sandbox.page.keyboard.press("Enter")
    choice = sandbox.messages.last.get_by_role("combobox")
    await choice.press("ArrowDown")
    await expect(sandbox.list.get_by_role("option", selected=True)).not_to_have_count(0)
    await choice.press("ArrowDown")
    await choice.press("Space")
    await expect(sandbox.list.get_by_role("option").nth(1)).to_have_attribute("aria-selected", "false")
    await choice.press("Escape")
    await expect(sandbox.messages.last).to_contain_text("Allowed models: all that the operator offers →")


async def test_a_picture_is_asked_about(sandbox: Sandbox, tmp_path: Path):
    Image.new("RGB", (80, 60), (200, 40, 40)).save(tmp_path / "red.png")
    page = sandbox.page
    choosing: asyncio.Future[FileChooser] = asyncio.get_running_loop().create_future()
    # Long before it opens: the browser is told of this in its own time. (Playwright marks what it is given: no method.)
    page.once("filechooser", lambda chooser: choosing.set_result(chooser))
    line = await sandbox.begin("ask")
    await page.keyboard.type("What is on this?")
    await page.get_by_role("button", name=re.compile("^Add image:")).click()
    await expect(line.get_by_role("button", name="image:")).to_be_focused()
    await page.keyboard.press("Enter")
    async with asyncio.timeout(30):
        await (await choosing).set_files(tmp_path / "red.png")
    await expect(line.get_by_role("button", name="image:")).to_contain_text("red.png")
    await sandbox.button("Send").click()
    answer = await sandbox.pinned(sandbox.messages.filter(has_text="What is on this?").last)
    await expect(answer).to_contain_text("picture", timeout=ANSWER_MS)
    await sandbox.ended(answer)


async def test_files_that_are_pasted_and_dropped_are_taken_and_one_too_large_is_not(sandbox: Sandbox):
    give = """([kind, name, size]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(size)], name, { type: "text/plain" }));
        const how = { bubbles: true, cancelable: true };
        const event = kind === "paste"
            ? new ClipboardEvent("paste", { ...how, clipboardData: transfer })
            : new DragEvent("drop", { ...how, dataTransfer: transfer });
        document.getElementById("composer-text").dispatchEvent(event);
    }"""
    cards = sandbox.page.get_by_role("list", name="Files to send").get_by_role("listitem")
    await sandbox.page.evaluate(give, ["paste", "pasted.txt", 12])
    await sandbox.page.evaluate(give, ["drop", "dropped.txt", 12])
    await expect(cards).to_have_count(2)
    await sandbox.page.evaluate(give, ["drop", "large.txt", 10 * 1024 * 1024 + 1])
    await expect(sandbox.page.get_by_text("Files may be at most 10 MB here.")).to_be_visible()
    await expect(cards).to_have_count(2)
    await sandbox.button("Remove pasted.txt").click()
    sent = await sandbox.say("Some words with it")
    await expect(sent.get_by_role("link", name="dropped.txt")).to_be_visible()
