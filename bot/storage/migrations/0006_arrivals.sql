-- Replies that were promised ("thinking…") and of which nothing else is on disk yet. A row goes in the transaction that
-- writes the answer or the order down; what a process leaves here when it dies is told at the next start, as long as
-- the token lives. Neither who asked nor what. Owner: bot/arrivals.py.
CREATE TABLE arrivals (
    interaction_id BIGINT PRIMARY KEY,
    application_id BIGINT NOT NULL,
    token TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('question', 'picture')),
    at_us BIGINT NOT NULL
);
