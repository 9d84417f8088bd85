-- Small things that a process wants to know of the one before it, by name. Owner: bot/remembered.py.
CREATE TABLE remembered (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
