"""`/help`: what the bot can do, on one screen."""

from discord import app_commands
from discord.ext import commands

from bot.client import Bot
from cogs.ask import Interaction
from cogs.picture_options import price_range

HELP = """\
**Ask**
{ask} answers here, and remembers this channel's conversation. Attach up to three pictures or a text file, choose the \
model, or make the answer private.
- Mention me, reply to me with the ping on, or write to me directly: I answer as well.
- Right-click a message → Apps → **Ask about this**: I read the message and its pictures.
- **Stop** ends an answer, **Regenerate** asks again, **Continue** goes on where the limit ended it, **Delete** \
removes it.

{drawing}**Remember**
{show} what I remember here · {undo} forget your last question · {clear} forget all of yours (moderators: \
of everyone's) · {export} take it with you · \
{mode} share one memory, have one each, or none

**Pay**
{usage} what you have left, when it renews, and where it went

**Your data**
{privacy} what I keep about you, everything as a file, or erase it

**For those who manage the server**
{quota} who may spend how much · {settings} time zone, models, persona, memory, pictures, log channel · {doctor} what \
keeps me from working here

-# The line below each answer says which model wrote it, what it cost, and whose memory it used."""

DRAWING = """\
**Draw**
{imagine} draws one to four pictures of what you describe, for {price} each; choose the model, the shape, and more.
- Right-click a message → Apps → **Picture this**: I draw what it says, once you have looked it over.
- **Cancel** costs nothing. **Again** draws anew, **Edit** changes the order first, **Shape** its shape, **Details** \
shows it to copy, **Delete** removes it. Whoever presses pays.

"""

NAMES = {
    "ask": "ask",
    "imagine": "imagine",
    "show": "history show",
    "undo": "history undo",
    "clear": "history clear",
    "export": "history export",
    "mode": "history mode",
    "usage": "usage",
    "privacy": "privacy",
    "quota": "quota",
    "settings": "settings",
    "doctor": "doctor",
}


class Help(commands.Cog):
    """One answer, for the asker alone."""

    @app_commands.command(description="What I can do")
    async def help(self, interaction: Interaction) -> None:
        services = interaction.client.services
        commands_by_name = {key: f"`/{name}`" for key, name in NAMES.items()}
        models = services.catalog.image_models
        price = price_range(models, services.unit)
        drawing = DRAWING.format(**commands_by_name, price=price) if models else ""
        await interaction.response.send_message(HELP.format(**commands_by_name, drawing=drawing), ephemeral=True)


async def setup(bot: Bot) -> None:
    await bot.add_cog(Help())
