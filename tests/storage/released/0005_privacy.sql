-- A server was left; one person has asked to be erased, and of one who was only the sums are there.
INSERT INTO memory_modes (channel_id, mode, set_by, set_at_us, guild_id) VALUES
    (1100000000000000011, 'personal', 0, 1795355770000000, 1100000000000000012);

INSERT INTO departures (guild_id, left_at_us) VALUES (1100000000000000012, 1795355770000000);

INSERT INTO erasures (user_id, erasure_id, asked_at_us, pseudonym) VALUES
    (1100000000000000013, 1574060860760920000, 1795355771000000, -4611686018427387904);

INSERT INTO entries (
    entry_id, entry_kind, scope_id, user_id, asked_at_us, written_at_us, kind, model, reason, held_nano,
    from_allowance_nano, from_grant_nano, granted_nano, provider_nano, estimated, prompt_tokens, completion_tokens,
    images, by_id
) VALUES
    (1574060860760930000, 'charge', 1100000000000000001, -4611686018427387905, 1795355772000000, 1795355773000000,
     'chat', 'gpt-4o-mini', 'finished', 700, 600, 0, 0, 600, 0, 1, 1, 0, NULL);
INSERT INTO accounts (scope_id, user_id, spent_nano, grant_nano, held_allowance_nano, held_grant_nano) VALUES
    (1100000000000000001, -4611686018427387905, 600, 0, 0, 0);
UPDATE month_totals SET provider_nano = provider_nano + 600 WHERE scope_id IN (-1, 1100000000000000001);
