"""The sandbox's page as a test uses it: what people see and press, by role and by name."""

import re
from pathlib import Path

from playwright.async_api import ConsoleMessage, Error, Locator, Page, expect

CHROMIUM = Path("/usr/bin/chromium")
ANSWER_MS = 20_000
"""How long an answer of the simulation may take; it comes at a human pace."""
ENDED = re.compile("Regenerate")


class Sandbox:
    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.console: list[str] = []
        page.set_default_timeout(8_000)
        page.on("console", self._said)
        page.on("pageerror", self._failed)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.console.append(f"{message.type}: {message.text}")

    def _failed(self, error: Error) -> None:
        self.console.append(f"uncaught: {error}")

    async def load(self) -> None:
        await self.page.goto(self.address)
        await expect(self.page.get_by_role("heading", level=1)).to_have_text("general")

    @property
    def log(self) -> Locator:
        return self.page.get_by_role("log", name="Messages")

    @property
    def messages(self) -> Locator:
        return self.log.get_by_role("article")

    @property
    def box(self) -> Locator:
        """Where a message is written."""
        return self.page.locator("#composer-text")

    @property
    def list(self) -> Locator:
        """The list of suggestions that is open."""
        return self.page.get_by_role("listbox")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    async def say(self, text: str) -> Locator:
        """Write a message and send it. Returns it as it stands in the list."""
        await self.box.fill(text)
        async with self.page.expect_response("**/api/say") as sending:
            await self.box.press("Enter")
        answer = await (await sending.value).json()
        message = self._with_id(answer["message"])
        await message.wait_for()
        return message

    def _with_id(self, message_id: str | None) -> Locator:
        return self.page.locator(f'article[data-id="{message_id}"]')

    async def begin(self, command: str) -> Locator:
        """Choose a slash command; its first field has the focus then."""
        await self.box.fill(f"/{command} ")
        line = self.page.get_by_role("group", name=f"Command {command}")
        await line.wait_for()
        return line

    async def command(self, name: str, **options: str) -> None:
        """Give a slash command with text options."""
        await self.begin(name)
        for option, value in options.items():
            await (
                self.page.get_by_role("textbox", name=f"{option}:")
                .or_(self.page.get_by_role("combobox", name=f"{option}:"))
                .fill(value)
            )
        await self.page.keyboard.press("Enter")

    async def ask(self, prompt: str) -> Locator:
        """The answer's message, as soon as it is there."""
        await self.command("ask", prompt=prompt)
        answer = self.messages.filter(has_text=prompt).last
        await answer.wait_for(timeout=ANSWER_MS)
        return await self.pinned(answer)

    async def pinned(self, message: Locator) -> Locator:
        """The same message by its id, whatever comes after it."""
        return self._with_id(await message.get_attribute("data-id"))

    async def ended(self, message: Locator) -> Locator:
        await message.get_by_role("button", name=ENDED).wait_for(timeout=ANSWER_MS)
        return message

    async def be(self, name: str) -> None:
        """Be somebody else."""
        await self.page.get_by_role("button", name=re.compile("^You are")).click()
        await self.page.get_by_role("radio", name=re.compile(f"^{name}")).click()
        await expect(self.page.get_by_role("button", name=re.compile(f"^You are {name}"))).to_be_visible()

    async def go(self, channel: str) -> None:
        await self.page.get_by_role("navigation", name="Channels").get_by_role("button", name=channel).click()
        await expect(self.page.get_by_role("heading", level=1)).to_have_text(channel)
