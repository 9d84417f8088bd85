-- A question was asked again, the second answer failed, and then the turn was forgotten.
INSERT INTO answers (
    answer_id, asker_id, channel_id, guild_id, private, messages, question, state, turn_id, interaction_token,
    updated_at_us, root_id, forgotten
) VALUES
    (1574060860860960000, 1100000000000000003, 1100000000000000002, 1100000000000000001, 0,
     '[[1100000000000000002,1574060860860960001]]', 'null', 'done', NULL, NULL, 1795355777000000,
     1574060860860960000, 1),
    (1574060860860970000, 1100000000000000003, 1100000000000000002, 1100000000000000001, 0,
     '[[1100000000000000002,1574060860860970001]]', 'null', 'failed', NULL, NULL, 1795355778000000,
     1574060860860960000, 1);
