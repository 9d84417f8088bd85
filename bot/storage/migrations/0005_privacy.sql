-- What goes in time, when a server is left, and when a person asks for it.

-- Whose server it is in; NULL in direct messages, and where somebody chose before this was written down.
-- set_by is 0 once that person has been erased.
ALTER TABLE memory_modes ADD COLUMN guild_id BIGINT;

-- From here on an entry is changed in one case: its person is erased. Then user_id is a random number below zero, an id
-- and times that lead to a message are drawn anew within their quarter of an hour, by_id is NULL, and an admin's reason
-- is empty; amounts and periods stay. In policy_log such a person is 0 as who decided, and the same random number as
-- whom it was about.

-- Servers that the bot has left. Erased after a grace, unless the bot comes back. Owner: bot/privacy/departures.py.
CREATE TABLE departures (
    guild_id BIGINT PRIMARY KEY,
    left_at_us BIGINT NOT NULL
);

-- People who have asked to be erased, until nothing is left to erase. What they did up to erasure_id, the snowflake of
-- the interaction that asked for it, goes; pseudonym is what stands for them in the books. Owner: bot/privacy/wishes.py.
CREATE TABLE erasures (
    user_id BIGINT PRIMARY KEY,
    erasure_id BIGINT NOT NULL,
    asked_at_us BIGINT NOT NULL,
    pseudonym BIGINT NOT NULL CHECK (pseudonym < 0)
);

-- What is oldest, in all and by server; and whatever names a person.
CREATE INDEX turns_by_time ON turns (asked_at_us);
CREATE INDEX turns_by_guild ON turns (guild_id, asked_at_us);
CREATE INDEX answers_by_time ON answers (updated_at_us);
CREATE INDEX answers_by_guild ON answers (guild_id, updated_at_us);
CREATE INDEX picture_orders_by_end ON picture_orders (ended_at_us);
CREATE INDEX picture_orders_by_guild ON picture_orders (guild_id, ended_at_us);
CREATE INDEX accounts_by_user ON accounts (user_id);
CREATE INDEX entries_by_giver ON entries (by_id);
CREATE INDEX policy_log_by_decider ON policy_log (by_id);
CREATE INDEX policy_log_by_target ON policy_log (target_id);
