"""What one person sees of one channel, kept up to date on the screen."""

from sandbox.discord.messages import Message
from sandbox.discord.people import Person
from sandbox.discord.places import Channel
from sandbox.terminal.blocks import block, growing, signature
from sandbox.terminal.screen import Screen

EARLIER_SHOWN = 10


class View:
    """Messages get their numbers from 1 in the order in which they were first seen, and keep them."""

    def __init__(self, screen: Screen, person: Person, channel: Channel) -> None:
        self.screen = screen
        self.person = person
        self.channel = channel
        self._numbered: list[Message] = []
        self._numbers: dict[int, int] = {}
        self._printed: dict[int, tuple[object, ...]] = {}

    def turn_to(self, person: Person, channel: Channel) -> None:
        """Show another channel, or the same with other eyes: its newest messages are shown anew."""
        self.person, self.channel = person, channel
        self._printed = {message.id: signature(message) for message in person.visible(channel)[:-EARLIER_SHOWN]}

    @property
    def place(self) -> str:
        return f"@{self.channel.world.bot.display_name}" if self.channel.is_private else f"#{self.channel.name}"

    def message(self, number: int) -> Message | None:
        """The message of that number, if it is there and may be seen."""
        message = self._numbered[number - 1] if 1 <= number <= len(self._numbered) else None
        return message if message is not None and self.person.sees(message) else None

    def newest(self) -> list[Message]:
        """The newest first."""
        return self.person.visible(self.channel)[::-1]

    def at_work(self) -> bool:
        """Whether anything here still grows."""
        return any(growing(message) for message in self.person.visible(self.channel))

    def refresh(self, prompt: str, typed: str) -> None:
        """Print what has come to rest, show what has not."""
        unfinished: list[str] = []
        visible = self.person.visible(self.channel)
        for message in visible:
            if growing(message):
                self._printed.pop(message.id, None)
                unfinished += block(message, self._number(message))
            elif self._printed.get(message.id) != (state := signature(message)):
                self._printed[message.id] = state
                self.screen.print(block(message, self._number(message)))
        self._note_deleted({message.id for message in visible})
        self.screen.show(unfinished, prompt, typed)

    def _note_deleted(self, there: set[int]) -> None:
        for gone in self._printed.keys() - there:
            del self._printed[gone]
            if gone in self._numbers:
                self.screen.print([f"-- [{self._numbers[gone]}] was deleted."])

    def _number(self, message: Message) -> int:
        if message.id not in self._numbers:
            self._numbered.append(message)
            self._numbers[message.id] = len(self._numbered)
        return self._numbers[message.id]
