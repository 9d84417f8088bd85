"""What can go wrong with the database. None of these errors carries a statement's values.

StorageError
├── StorageBusy         no turn before the deadline: the operation did not run
├── StorageFailed       it was rolled back (a full disk, a locked file, a refused statement)
│   └── StorageDamaged  so was it, and nothing more will be written: the file is damaged, or no longer ours
├── ConstraintBroken    a rule of the schema was hurt: that statement alone was undone
├── StorageClosed       the database is closing, or closed
├── DatabaseInUse       another process has the file
└── SchemaRefused       the file's schema is not one this version can work with
"""

from bot.errors import BotError


class StorageError(BotError):
    """The database would not do it."""


class StorageBusy(StorageError):
    """No turn before the deadline. The operation did not run, and will not."""


class StorageFailed(StorageError):
    """Nothing of the operation was stored. The engine's own error is the cause."""


class StorageDamaged(StorageFailed):
    """The file is damaged, or was taken away under the process. Trying again is of no use before somebody acts."""


class ConstraintBroken(StorageError):
    """A UNIQUE, CHECK, NOT NULL or FOREIGN KEY rule was hurt. The statement was undone; the operation may go on."""


class StorageClosed(StorageError):
    """The database is closing. Whether an operation that was running got stored is not known."""


class DatabaseInUse(StorageError):
    """Another process has the file open. Two writers' groups would not know of each other's rules."""


class SchemaRefused(StorageError):
    """The file was made by a newer version, or by a migration that differs from the one shipped here."""
