-- Two turns of a server's channel, one of a private memory; an answer that ended, one that a crash left open; choices.
INSERT INTO turns (
    question_id, channel_id, owner, guild_id, asker_id, asker_name, asked_at_us, prompt, images, file_name, file_text,
    quoted, quoted_author, answer, model, prompt_tokens, completion_tokens, cost_nano, finish_reason, complete
) VALUES
    (1574060860064661505, 1100000000000000002, 'shared', 1100000000000000001, 1100000000000000003, 'Dana',
     1795355753676000, 'Where is the treasure?',
     '[{"id":1574060860337291264,"name":"cat.png","url":"https://cdn.example/cat.png","size_bytes":80,"content_type":"image/png","channel_id":1100000000000000002,"message_id":1574060860119187456}]',
     NULL, NULL, 'X marks it; "here".', 'Ruth', 'In Durango. 🏜️', 'gpt-4o-mini', 25629, 4, 3846750, 'stop', 1),
    (1574060860341485569, 1100000000000000002, 'shared', 1100000000000000001, 1100000000000000004, 'Noam',
     1795355753742000, 'What does it do?', '[]', 'greet.py', 'print(''hi'')', NULL, NULL, 'It greets', 'gpt-4o-mini', 61,
     100, 69150, 'length', 0),
    (1574060860567977984, 1100000000000000009, 'private:1100000000000000003', NULL, 1100000000000000003, 'Dana',
     1795355753796000, 'שלום', '[]', NULL, NULL, NULL, NULL, 'שלום, Dana', 'gpt-4o-mini', 63, 2, 10650, NULL, 1);

INSERT INTO answers (
    answer_id, asker_id, channel_id, guild_id, private, messages, question, state, turn_id, interaction_token,
    updated_at_us
) VALUES
    (1574060860064661505, 1100000000000000003, 1100000000000000002, 1100000000000000001, 0,
     '[[1100000000000000002,1574060860119187456]]',
     '{"id":1574060860064661505,"asker":{"id":1100000000000000003,"name":"Dana"},"place":{"channel_id":1100000000000000002,"guild_id":1100000000000000001,"bot_present":true},"prompt":"Where is the treasure?","images":[{"id":1574060860337291264,"name":"cat.png","url":"https://cdn.example/cat.png","size_bytes":80,"content_type":"image/png","channel_id":1100000000000000002,"message_id":1574060860119187456}],"file":null,"quoted":"X marks it; \"here\".","quoted_author":"Ruth","model":null,"temperature":null,"max_tokens":null,"private":false}',
     'done', 1574060860064661505, NULL, 1795355753747971),
    (1574060860341485569, 1100000000000000004, 1100000000000000002, 1100000000000000001, 0, '[]',
     '{"id":1574060860341485569,"asker":{"id":1100000000000000004,"name":"Noam"},"place":{"channel_id":1100000000000000002,"guild_id":1100000000000000001,"bot_present":true},"prompt":"What does it do?","images":[],"file":{"id":1574060860341485568,"name":"greet.py","url":"https://cdn.example/greet.py","size_bytes":11,"content_type":"text/x-python","channel_id":null,"message_id":null},"quoted":null,"quoted_author":null,"model":"gpt-4o-mini","temperature":0.5,"max_tokens":100,"private":false}',
     'running', 1574060860341485569, 'aW50ZXJhY3Rpb24', 1795355753797986);

INSERT INTO memory_modes (channel_id, mode, set_by, set_at_us) VALUES
    (1100000000000000002, 'shared', 1100000000000000005, 1795355700000000),
    (1100000000000000006, 'off', 1100000000000000005, 1795355700000001);
