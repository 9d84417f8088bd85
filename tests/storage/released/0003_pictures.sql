-- Dana's picture was delivered and paid; another of hers is being drawn, its price on hold; one failed, and its message
-- does not say so yet.
INSERT INTO picture_orders (
    order_id, user_id, scope_id, guild_id, channel_id, message_id, application_id, interaction_token, asked, image_nano,
    state, asked_at_us, opened_at_us, ended_at_us, images, dm_channel_id, dm_message_id, untold
) VALUES
    (1574060860760915968, 1100000000000000003, 1100000000000000001, 1100000000000000001, 1100000000000000002,
     1574060860781887488, 1100000000000000010, '',
     '{"asker":{"name":"Dana","role_ids":[1100000000000000001]},"bot_present":true,"picture":{"prompt":"a lighthouse","model":"realvision","negative_prompt":null,"scheduler":"DPM++ SDE","steps":4,"cfg_scale":2.0,"width":1024,"height":1024},"count":1,"spoiler":false,"private":false,"upload_limit_bytes":10485760}',
     1500000, 'delivered', 1795355758000000, 1795355758100000, 1795355759000000, 1, NULL, NULL, NULL),
    (1574060860760915969, 1100000000000000003, 1100000000000000001, 1100000000000000001, 1100000000000000002,
     1574060860781887489, 1100000000000000010, 'aW50ZXJhY3Rpb24',
     '{"asker":{"name":"Dana","role_ids":[1100000000000000001]},"bot_present":true,"picture":{"prompt":"a storm","model":"realvision","negative_prompt":"people","scheduler":"DPM++ SDE","steps":4,"cfg_scale":2.0,"width":1024,"height":1024},"count":2,"spoiler":true,"private":false,"upload_limit_bytes":10485760}',
     1500000, 'open', 1795355760000000, 1795355760100000, NULL, 0, NULL, NULL, NULL),
    (1574060860760915970, 1100000000000000004, 0, NULL, 1100000000000000009, 1574060860781887490, 1100000000000000010,
     'aW50ZXJhY3Rpb24',
     '{"asker":{"name":"Noam","role_ids":[]},"bot_present":false,"picture":{"prompt":"a door","model":"realvision","negative_prompt":null,"scheduler":"DPM++ SDE","steps":4,"cfg_scale":2.0,"width":256,"height":256},"count":1,"spoiler":false,"private":true,"upload_limit_bytes":10485760}',
     1500000, 'failed', 1795355761000000, 1795355761100000, 1795355762000000, 0, NULL, NULL, 'The AI service failed.');

INSERT INTO pictures (
    order_id, number, state, tries, job_id, signature, submitted_at_us, image_url, took_ms, model, pixels, steps
) VALUES
    (1574060860760915968, 0, 'ready', 1, '56267258', '7b1f3454c7446fec', 1795355758200000,
     'https://pictures.example/56267258.png', 584, 'realvision', 1048576, 4),
    (1574060860760915969, 0, 'submitted', 1, '56267259', '7b1f3454c7446fed', 1795355760200000, NULL, NULL, 'realvision',
     1048576, 4),
    (1574060860760915969, 1, 'new', 0, NULL, NULL, NULL, NULL, NULL, 'realvision', 1048576, 4),
    (1574060860760915970, 0, 'failed', 1, '56267260', '7b1f3454c7446fee', 1795355761200000, NULL, NULL, 'realvision',
     65536, 4);

INSERT INTO entries (
    entry_id, entry_kind, scope_id, user_id, asked_at_us, written_at_us, kind, model, reason, held_nano,
    from_allowance_nano, from_grant_nano, granted_nano, provider_nano, estimated, prompt_tokens, completion_tokens,
    images, by_id
) VALUES
    (1574060860760915968, 'charge', 1100000000000000001, 1100000000000000003, 1795355758000000, 1795355759000000,
     'image', 'realvision', 'finished', 1500000, 1500000, 0, 0, 1500000, 0, 0, 0, 1, NULL),
    (1574060860760915970, 'charge', 0, 1100000000000000004, 1795355761000000, 1795355762000000, 'image', 'realvision',
     'failed', 1500000, 0, 0, 0, 1500000, 1, 0, 0, 0, NULL);

INSERT INTO holds (
    request_id, run_id, scope_id, user_id, kind, model, asked_at_us, units, from_allowance_nano, from_grant_nano
) VALUES
    (1574060860760915969, 'a run that died', 1100000000000000001, 1100000000000000003, 'image', 'realvision',
     1795355760000000, 0, 2000000, 1000000);

UPDATE accounts SET spent_nano = 5346750, held_allowance_nano = 2000000, held_grant_nano = 1000000
WHERE user_id = 1100000000000000003;
INSERT INTO accounts (scope_id, user_id, spent_nano, grant_nano, held_allowance_nano, held_grant_nano) VALUES
    (0, 1100000000000000004, 0, 0, 0, 0);
UPDATE month_totals SET provider_nano = 7846750, held_nano = 3700000 WHERE scope_id = -1;
UPDATE month_totals SET provider_nano = 6346750, held_nano = 3700000 WHERE scope_id = 1100000000000000001;
INSERT INTO month_totals (scope_id, month, provider_nano, held_nano, noticed_percent, noticed_of_nano) VALUES
    (0, 202611, 1500000, 0, 0, 0);
