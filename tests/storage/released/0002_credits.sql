-- Dana was charged, got a grant, used some of it and had some taken back; Noam was refused by the API, and the process
-- died while something of his was on hold.
INSERT INTO guild_settings (guild_id, settings) VALUES
    (1100000000000000001,
     '{"time_zone":"Asia/Jerusalem","log_channel_id":1100000000000000007,"default_model":"gpt-4o-mini","allowed_models":["gpt-4o-mini"],"persona":"A pirate.","images":true,"memory":"personal"}');

INSERT INTO policy_log (log_id, scope_id, at_us, by_id, action, target_kind, target_id, before, after, reason) VALUES
    (1574060850000000001, 1100000000000000001, 1795355690000000, 1100000000000000005, 'settings', NULL, NULL,
     '{"persona":null}', '{"persona":"A pirate."}', ''),
    (1574060850000000002, 1100000000000000001, 1795355691000000, 1100000000000000005, 'allowance', 'member',
     1100000000000000003, NULL, '100000000/day', 'A generous day'),
    (1574060850000000003, 1100000000000000001, 1795355692000000, 1100000000000000005, 'grant', 'member',
     1100000000000000003, '0', '5000000', 'Thank you'),
    (1574060850000000004, 1100000000000000001, 1795355756000000, 1100000000000000005, 'correction', 'member',
     1100000000000000003, '4000000', '3500000', 'Too much');

INSERT INTO allowances (scope_id, target_kind, target_id, kind, amount_nano, period, set_by, set_at_us) VALUES
    (1100000000000000001, 'member', 1100000000000000003, 'amount', 100000000, 'day', 1100000000000000005, 1795355691000000),
    (1100000000000000001, 'role', 1100000000000000008, 'unlimited', 0, 'once', 1100000000000000005, 1795355691000001),
    (1100000000000000001, 'default', 0, 'none', 0, 'once', 1100000000000000005, 1795355691000002);

INSERT INTO entries (
    entry_id, entry_kind, scope_id, user_id, asked_at_us, written_at_us, kind, model, reason, held_nano,
    from_allowance_nano, from_grant_nano, granted_nano, provider_nano, estimated, prompt_tokens, completion_tokens,
    images, by_id
) VALUES
    (1574060850000000003, 'grant', 1100000000000000001, 1100000000000000003, 1795355692000000, 1795355692000000, NULL,
     NULL, 'Thank you', 0, 0, 0, 5000000, 0, 0, 0, 0, 0, 1100000000000000005),
    (1574060860064661505, 'charge', 1100000000000000001, 1100000000000000003, 1795355753702897, 1795355753730401, 'chat',
     'gpt-4o-mini', 'finished', 7844550, 3846750, 0, 0, 3846750, 0, 25629, 4, 0, NULL),
    (1574060860341485000, 'charge', 1100000000000000001, 1100000000000000003, 1795355754702897, 1795355754730401, 'chat',
     'gpt-4o-mini', 'stopped', 2000000, 0, 1000000, 0, 1000000, 1, 61, 100, 0, NULL),
    (1574060860341486000, 'charge', 1100000000000000001, 1100000000000000004, 1795355755702897, 1795355755730401, 'chat',
     'gpt-4o-mini', 'refused', 600000, 0, 0, 0, 0, 0, 0, 0, 0, NULL),
    (1574060850000000004, 'correction', 1100000000000000001, 1100000000000000003, 1795355756000000, 1795355756000000,
     NULL, NULL, 'Too much', 0, 0, 0, -500000, 0, 0, 0, 0, 0, 1100000000000000005);

INSERT INTO holds (
    request_id, run_id, scope_id, user_id, kind, model, asked_at_us, units, from_allowance_nano, from_grant_nano
) VALUES
    (1574060860341487000, 'a run that died', 1100000000000000001, 1100000000000000004, 'chat', 'gpt-4o-mini',
     1795355757000000, 1000, 700000, 0);

INSERT INTO accounts (scope_id, user_id, spent_nano, grant_nano, held_allowance_nano, held_grant_nano) VALUES
    (1100000000000000001, 1100000000000000003, 3846750, 3500000, 0, 0),
    (1100000000000000001, 1100000000000000004, 0, 0, 700000, 0);

INSERT INTO month_totals (scope_id, month, provider_nano, held_nano, noticed_percent, noticed_of_nano) VALUES
    (-1, 202611, 4846750, 700000, 80, 5000000),
    (1100000000000000001, 202611, 4846750, 700000, 0, 0);
