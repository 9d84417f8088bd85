-- Conversations. Owner: bot/answers/history.py.
-- Times are microseconds since 1970 in UTC, ids are Discord's snowflakes; both are made in Python.
-- JSON stays TEXT, flags are 0 or 1: the same statements serve SQLite and PostgreSQL.

-- One question with its whole answer, as the model is reminded of it.
CREATE TABLE turns (
    question_id BIGINT PRIMARY KEY,
    channel_id BIGINT NOT NULL,
    owner TEXT NOT NULL,
    guild_id BIGINT,
    asker_id BIGINT NOT NULL,
    asker_name TEXT NOT NULL,
    asked_at_us BIGINT NOT NULL,
    prompt TEXT NOT NULL,
    images TEXT NOT NULL,
    file_name TEXT,
    file_text TEXT,
    quoted TEXT,
    quoted_author TEXT,
    answer TEXT NOT NULL,
    model TEXT NOT NULL,
    prompt_tokens BIGINT NOT NULL CHECK (prompt_tokens >= 0),
    completion_tokens BIGINT NOT NULL CHECK (completion_tokens >= 0),
    cost_nano BIGINT NOT NULL CHECK (cost_nano >= 0),
    finish_reason TEXT,
    complete INTEGER NOT NULL CHECK (complete IN (0, 1))
);

CREATE INDEX turns_by_memory ON turns (channel_id, owner, asked_at_us, question_id);
CREATE INDEX turns_by_asker ON turns (asker_id);

-- What the buttons under an answer need after a restart. Not bound to `turns`: an answer outlives its turn.
CREATE TABLE answers (
    answer_id BIGINT PRIMARY KEY,
    asker_id BIGINT NOT NULL,
    channel_id BIGINT NOT NULL,
    guild_id BIGINT,
    private INTEGER NOT NULL CHECK (private IN (0, 1)),
    messages TEXT NOT NULL,
    question TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'done', 'stopped', 'failed', 'cut')),
    turn_id BIGINT,
    interaction_token TEXT,
    updated_at_us BIGINT NOT NULL
);

CREATE INDEX answers_by_state ON answers (state, updated_at_us);
CREATE INDEX answers_by_asker ON answers (asker_id);

-- How a channel remembers, where somebody chose.
CREATE TABLE memory_modes (
    channel_id BIGINT PRIMARY KEY,
    mode TEXT NOT NULL CHECK (mode IN ('shared', 'personal', 'off')),
    set_by BIGINT NOT NULL,
    set_at_us BIGINT NOT NULL
);
