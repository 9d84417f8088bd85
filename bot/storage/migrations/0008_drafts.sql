-- What an open form stands on: the message that a question is about, or what was typed for a picture that was not
-- ordered. A row is read for 15 minutes by who made it, and goes within the hour after that. Owner: bot/drafts.py.
CREATE TABLE drafts (
    draft_id BIGINT PRIMARY KEY,
    user_id BIGINT NOT NULL,
    guild_id BIGINT,
    kind TEXT NOT NULL,
    made_at_us BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX drafts_by_user ON drafts (user_id, draft_id);
CREATE INDEX drafts_by_time ON drafts (made_at_us);
CREATE INDEX drafts_by_guild ON drafts (guild_id, made_at_us);
