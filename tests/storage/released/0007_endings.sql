-- An answer had ended, and the bot died before its last edit.
INSERT INTO answers (
    answer_id, asker_id, channel_id, guild_id, private, messages, question, state, turn_id, interaction_token,
    updated_at_us, ending
) VALUES
    (1574060860760950000, 1100000000000000003, 1100000000000000002, 1100000000000000001, 0,
     '[[1100000000000000002,1574060860760950001]]',
     '{"id":1574060860760950000,"asker":{"id":1100000000000000003,"name":"Dana","role_ids":[]},"place":{"channel_id":1100000000000000002,"guild_id":1100000000000000001,"bot_present":true},"prompt":"And how deep?","images":[],"file":null,"quoted":null,"quoted_author":null,"model":null,"temperature":null,"max_tokens":null,"private":false}',
     'running', NULL, 'aW50ZXJhY3Rpb24', 1795355776000000,
     '{"state":"done","reason":"finished","consumed":{"nano":9600,"estimated":false,"prompt_tokens":60,"completion_tokens":1,"images":0,"lost_nano":0},"text":"Knee-deep.","heading":"> And how deep?\n","footer":"gpt-4o-mini · 61 tokens · $0.0000096","notice":null,"torn":false,"may_continue":false,"remembered":false}');
