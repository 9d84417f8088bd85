-- Credits: who may spend how much, and what was spent. Times are microseconds since 1970 in UTC, amounts nano-dollars.
-- scope_id is a server's id, or 0 for direct messages and where a user brought the bot along.

-- What a server's admins decided. Owner: bot/guilds.py.
CREATE TABLE guild_settings (
    guild_id BIGINT PRIMARY KEY,
    settings TEXT NOT NULL
);

-- Every change of settings, allowances and grants. Only ever appended to. Owner: bot/guilds.py.
CREATE TABLE policy_log (
    log_id BIGINT PRIMARY KEY,
    scope_id BIGINT NOT NULL,
    at_us BIGINT NOT NULL,
    by_id BIGINT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('allowance', 'grant', 'correction', 'settings')),
    target_kind TEXT CHECK (target_kind IN ('member', 'role', 'default')),
    target_id BIGINT,
    before TEXT,
    after TEXT,
    reason TEXT NOT NULL
);

CREATE INDEX policy_log_by_scope ON policy_log (scope_id, log_id);

-- Owner: bot/credits/allowances.py. target_id is 0 for the server's default.
CREATE TABLE allowances (
    scope_id BIGINT NOT NULL,
    target_kind TEXT NOT NULL CHECK (target_kind IN ('member', 'role', 'default')),
    target_id BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('amount', 'unlimited', 'none')),
    amount_nano BIGINT NOT NULL,
    period TEXT NOT NULL CHECK (period IN ('day', 'week', 'month', 'once')),
    set_by BIGINT NOT NULL,
    set_at_us BIGINT NOT NULL,
    PRIMARY KEY (scope_id, target_kind, target_id),
    CHECK ((kind = 'amount') = (amount_nano > 0))
);

-- Money on hold for requests that have not ended. A hold ends by being removed in the transaction that writes its entry;
-- the two share their key, so it cannot end twice. Owner, of this and the tables below: bot/credits/ledger.py.
CREATE TABLE holds (
    request_id BIGINT PRIMARY KEY,
    run_id TEXT NOT NULL,
    scope_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('chat', 'image')),
    model TEXT NOT NULL,
    asked_at_us BIGINT NOT NULL,
    units BIGINT NOT NULL CHECK (units >= 0),
    from_allowance_nano BIGINT NOT NULL CHECK (from_allowance_nano >= 0),
    from_grant_nano BIGINT NOT NULL CHECK (from_grant_nano >= 0)
);

CREATE INDEX holds_by_account ON holds (scope_id, user_id, asked_at_us);
CREATE INDEX holds_by_run ON holds (run_id, request_id);

-- What happened to money. Never updated, never deleted.
-- A charge ends the hold of the same id: it counts in the period of asked_at_us. from_* is what the user paid and
-- provider_nano what the API was paid. granted_nano is what a grant added, or a correction took (below zero).
CREATE TABLE entries (
    entry_id BIGINT PRIMARY KEY,
    entry_kind TEXT NOT NULL CHECK (entry_kind IN ('charge', 'grant', 'correction')),
    scope_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    asked_at_us BIGINT NOT NULL,
    written_at_us BIGINT NOT NULL,
    kind TEXT CHECK (kind IN ('chat', 'image')),
    model TEXT,
    reason TEXT NOT NULL,
    held_nano BIGINT NOT NULL CHECK (held_nano >= 0),
    from_allowance_nano BIGINT NOT NULL CHECK (from_allowance_nano >= 0),
    from_grant_nano BIGINT NOT NULL CHECK (from_grant_nano >= 0),
    granted_nano BIGINT NOT NULL,
    provider_nano BIGINT NOT NULL CHECK (provider_nano >= 0),
    estimated INTEGER NOT NULL CHECK (estimated IN (0, 1)),
    prompt_tokens BIGINT NOT NULL CHECK (prompt_tokens >= 0),
    completion_tokens BIGINT NOT NULL CHECK (completion_tokens >= 0),
    images BIGINT NOT NULL CHECK (images >= 0),
    by_id BIGINT,
    CHECK (from_allowance_nano + from_grant_nano <= held_nano),
    CHECK ((entry_kind = 'charge') = (kind IS NOT NULL)),
    CHECK (entry_kind <> 'charge' OR granted_nano = 0),
    CHECK (entry_kind <> 'grant' OR granted_nano > 0),
    CHECK (entry_kind <> 'correction' OR granted_nano < 0),
    CHECK (entry_kind = 'charge' OR held_nano + provider_nano = 0)
);

-- The first serves every hold: what an account spent in a period, from the index alone.
CREATE INDEX entries_by_account ON entries (scope_id, user_id, asked_at_us, from_allowance_nano);
CREATE INDEX entries_by_scope ON entries (scope_id, asked_at_us);
CREATE INDEX entries_in_order ON entries (scope_id, entry_id);

-- Balances, kept in the transactions that change them; `python -m bot ledger check` recomputes them.
-- spent_nano is everything ever paid from allowances, held_* what holds have set apart, grant_nano what is left of
-- grants, what is on hold of them included.
CREATE TABLE accounts (
    scope_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    spent_nano BIGINT NOT NULL CHECK (spent_nano >= 0),
    grant_nano BIGINT NOT NULL CHECK (grant_nano >= 0),
    held_allowance_nano BIGINT NOT NULL CHECK (held_allowance_nano >= 0),
    held_grant_nano BIGINT NOT NULL CHECK (held_grant_nano >= 0),
    PRIMARY KEY (scope_id, user_id),
    CHECK (held_grant_nano <= grant_nano)
);

-- What the API was paid, and may have to be paid for open holds, by the UTC month of the request (202612: December 2026).
-- scope_id -1 is the whole bot. noticed_percent is what the operator has been told of, 0, 80 or 100, of a ceiling of
-- noticed_of_nano.
CREATE TABLE month_totals (
    scope_id BIGINT NOT NULL,
    month INTEGER NOT NULL,
    provider_nano BIGINT NOT NULL CHECK (provider_nano >= 0),
    held_nano BIGINT NOT NULL CHECK (held_nano >= 0),
    noticed_percent INTEGER NOT NULL CHECK (noticed_percent IN (0, 80, 100)),
    noticed_of_nano BIGINT NOT NULL CHECK (noticed_of_nano >= 0),
    PRIMARY KEY (scope_id, month)
);
